from benchmarks.findings import compared, figure, limited, measured, single
from benchmarks.report import page, terminal

OURS = [8.0] * 10
THEIRS = [10.0] * 10


def test_a_comparison_tells_the_ratio_its_interval_and_both_medians() -> None:
    found = compared("rate", "by hand", OURS, THEIRS, 0.8, "at least", unit="a second")
    assert found.met
    assert found.value == "0.80 (0.80 to 0.80, 98% interval); medians 8.00 against 10.0 a second"
    assert found.pairs[0] == "8.00 / 10.0"


def test_pairs_are_compared_pair_by_pair() -> None:
    # Both slow down together; the ratio does not.
    ours, theirs = [8.0, 4.0, 2.0, 1.0, 0.5] * 2, [10.0, 5.0, 2.5, 1.25, 0.625] * 2
    assert compared("rate", "by hand", ours, theirs, 0.81, "at least", unit="").met is False


def test_a_trial_with_few_pairs_has_no_verdict() -> None:
    found = compared("rate", "by hand", [9.0] * 3, [10.0] * 3, 0.8, "at least", unit="")
    assert (found.met, found.verdict) == (None, "too few pairs to say")


def test_limits_are_met_up_to_and_with_themselves() -> None:
    assert limited("lateness", 2.0, 2.0, unit="s").met
    assert not limited("lateness", 2.01, 2.0, unit="s").met
    assert single("rate", 5_000.0, 5_000.0, "at least", unit="a second").met
    assert not single("rate", 4_999.0, 5_000.0, "at least", unit="a second").met
    assert measured("rate", [4_000.0, 5_000.0], 5_000, "at least", unit="a second").met


def test_figures_have_three_digits_that_mean_something() -> None:
    assert [figure(v) for v in (0.1234, 12.34, 1234.5)] == ["0.12", "12.3", "1,234"]


def test_the_page_has_a_row_for_each_finding_and_says_what_was_not_met() -> None:
    bad = limited("lateness", 3.0, 2.0, unit="s", notes=["of 100 waits"])
    told = page(["CPU: slow, 2 cores"], [("A burst", [bad])], 61.0)
    assert "| lateness |  | 3.00 s | at most 2.00 s | not met |" in told
    assert "- CPU: slow, 2 cores" in told
    assert "## A burst\n\n- of 100 waits\n" in told
    assert terminal(bad)[0] == "lateness: 3.00 s   wanted: at most 2.00 s: not met"
