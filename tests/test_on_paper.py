from pathlib import Path

from benchmarks import on_paper

GUIDE = Path(__file__).parents[1] / "docs" / "guides" / "scale.md"


def test_the_guide_has_the_tables_that_the_script_prints():
    assert on_paper.tables() in GUIDE.read_text(encoding="utf-8")


def test_a_stage_takes_an_eighth_of_the_time_on_eight_times_the_gpus():
    rates = on_paper.Rates(step=100, bank=400, mining_s=1, mined=10, pairs=1e9, worker_s=1e-3)
    one, eight = (dict(row[:2] for row in on_paper.stages(rates, 80_000, 20, n)) for n in (1, 8))
    assert (one["bank"], eight["bank"]) == ("50 s", "6 s")  # 2 x 80,000 / 400 / 8
    assert (one["20 passes"], eight["20 passes"]) == ("33 min", "4 min")
    assert one["mining, K = 100"] == eight["mining, K = 100"] == "4 s"


def test_a_divided_head_sends_no_gradient_of_centres():
    rates = on_paper.Rates(step=512, bank=1, mining_s=1, mined=1, pairs=1, worker_s=1)
    sent = {
        row[0]: float(row[1].replace(",", "")) for row in on_paper.exchanges(rates, 10**6, 0, 8)
    }
    assert sent["gradients of a whole head"] == round(10**6 * 512 * 4 * 2 * 63 / 64 / 1e6)
    assert sent["embeddings to a divided head, and back"] == round(
        64 * 512 * 512 * 4 * (1 + 2 * 63 / 64) / 1e6
    )
