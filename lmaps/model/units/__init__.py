"""Units: the kinds of things a host can be asked for, read from unit files and from the configuration.

unit       Unit: one kind, with its schema compiled
parse      the form of a unit file, and the Unit that it describes
load       all units of a configuration; an invalid one is refused without the others, each error with its place
impact     the effects of a new text of a unit on the stored instances
variables  the names of the variables that a unit gives to Ansible
explain    a unit's properties as rows for people
"""

from lmaps.model.units.explain import property_rows
from lmaps.model.units.impact import Impact, StoredInstance, impact
from lmaps.model.units.load import UnitSet, UnitSettings, get_unit_by_name, load_units, load_units_from
from lmaps.model.units.parse import parse_unit, unit_from_definition
from lmaps.model.units.unit import Unit, content_digest, short_id

__all__ = [
    "Impact",
    "StoredInstance",
    "Unit",
    "UnitSet",
    "UnitSettings",
    "content_digest",
    "get_unit_by_name",
    "impact",
    "load_units",
    "load_units_from",
    "parse_unit",
    "property_rows",
    "short_id",
    "unit_from_definition",
]
