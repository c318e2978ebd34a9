from mfr_kit.errors import KitError, RuleError


def test_a_name_with_line_breaks_leaves_the_error_on_one_line():
    name = "a\nb\u2028c\rd"
    assert str(KitError(f"there is no person {name}")) == "there is no person a b c d"
    assert str(RuleError("one\ntwo")) == "one two"
