import os
import pwd

from lmaps.util.ownership import login_name


def test_a_user_is_told_by_name_by_number_or_as_unknown():
    assert login_name(os.getuid()) == pwd.getpwuid(os.getuid()).pw_name
    assert login_name(3_999_999_999) == "3999999999"
    assert login_name(None) == "unknown"
