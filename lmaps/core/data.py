"""``lmaps.core.data``: the data types, which live in `lmaps.model.data_types`."""

from lmaps.model.data_types import DataStore, YamlFile, YamlKeyDict, YamlKeyList, YamlList

__all__ = ["DataStore", "YamlFile", "YamlKeyDict", "YamlKeyList", "YamlList"]
