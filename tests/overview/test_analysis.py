"""An overview of small problems: complete, within its budget, true, saved and read again."""

import inspect
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from custom_functions import Square
from torch import Tensor, nn

import workbench as wb
from workbench import paths
from workbench.overview import analysis, analyze
from workbench.overview.analysis import SECTIONS, _fitting
from workbench.overview.budget import read_budget
from workbench.overview.planning import Cost, Level
from workbench.overview.sections import curvature_section, gradient_section, saliency_section, step_section
from workbench.parameters import list_notebooks
from workbench.progress import listening

# Has to buy a depth of curvature whose trace has an interval, that of five probes: with these sections 880 to
# 1050 gradients do, and a new section takes from them.
BUDGET = 950


def classifier(examples: int = 200) -> wb.Problem:
    """Three classes that a small network can learn."""
    torch.manual_seed(0)
    inputs = torch.randn(examples, 6)
    targets = (inputs @ torch.randn(6, 3)).argmax(1)
    model = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3))
    return wb.Problem(model.eval(), nn.CrossEntropyLoss(), (inputs, targets), name="classifier")


@pytest.fixture(scope="module")
def overview() -> wb.Overview:
    return analyze(classifier(), budget=BUDGET, held_out=(torch.randn(50, 6), torch.randint(3, (50,))))


def test_only_the_sections_that_are_named() -> None:
    found = analyze(classifier(), budget=300, sections=["loss", "curvature"])
    assert list(found.sections) == ["curvature", "loss"]
    assert not found.missing
    assert found.gradients <= 300


def test_a_section_that_no_time_is_enough_for_is_tried_on_all_examples() -> None:
    """What steps take does not fall with the examples."""
    problem = classifier(300)
    kind = SECTIONS["step"]._replace(offer=lambda setting: [Level(Cost(steps=1e9), {})])
    assert _fitting(problem, read_budget("10s"), [kind], 32, 0) is problem


def test_nothing_measured_is_no_good_news() -> None:
    found = analyze(classifier(), budget=0.1, sections=["curvature"])
    assert found.sentence == "Nothing was measured: the budget is too small."
    with pytest.raises(
        ValueError, match=r"'curvature' was not measured, as no other: Curvature: \d+ gradients"
    ):
        found["curvature"]


def test_few_eigenvalues_do_not_deny_that_others_stand_out() -> None:
    matrix = torch.diag(torch.cat([torch.arange(5.0, 10), torch.linspace(-1, 1, 95)]).double())
    found = wb.curvature.spectrum(matrix, 8, probes=2, steps=20)
    section = curvature_section.CurvatureSection((), 1.0, 0.0, False, top=found.top, spectrum=found)
    assert "without a wide gap among the 4 largest" in section.sentence
    (told,) = [each for each in section.findings if each.name == "directions that stand out"]
    assert (told.value, told.kind) == (0, "of 3 that could be told")


def test_a_section_that_there_is_not_is_refused() -> None:
    with pytest.raises(TypeError, match="sections is a int: pass names"):
        analyze(classifier(), sections=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"sections='curvatur' is not one of .*did you mean 'curvature'\?"):
        analyze(classifier(), sections=["curvatur"])
    with pytest.raises(ValueError, match="names none"):
        analyze(classifier(), sections=[])


def test_all_sections_are_there_in_order(overview: wb.Overview) -> None:
    assert list(overview.sections) == list(SECTIONS)
    assert not overview.missing
    assert not overview.interrupted


def test_the_largest_eigenvalue_and_the_trace_are_those_of_the_dense_hessian(overview: wb.Overview) -> None:
    problem = classifier().to(dtype=torch.float64)
    values = torch.linalg.eigvalsh(wb.curvature.hessian(problem).dense())
    figures = overview.frame().set_index("figure")
    assert figures.loc["curvature_largest_eigenvalue", "value"] == pytest.approx(values[-1].item(), rel=1e-4)
    trace = figures.loc["curvature_trace"]
    assert math.isfinite(trace["high"]), f"BUDGET buys too few probes of the trace: {trace['kind']}"
    assert abs(trace["value"] - values.sum().item()) < 3 * (trace["high"] - trace["value"])


def test_loss_and_accuracy_are_those_of_the_model(overview: wb.Overview) -> None:
    problem = classifier()
    batch, _ = next(problem.batches())
    inputs, targets = batch
    with torch.no_grad():
        right = (problem.model(inputs).argmax(1) == targets).double().mean().item()
    figures = overview.frame().set_index("figure")["value"]
    assert figures["model_loss"] == pytest.approx(problem.loss_at())
    assert figures["model_accuracy"] == pytest.approx(right)
    assert figures["loss_loss_here"] == pytest.approx(problem.loss_at())
    assert figures["gradient_length_of_the_gradient"] == pytest.approx(
        problem.gradient().norm().item(), rel=1e-5
    )


def test_the_formula_is_two_over_the_largest_eigenvalue(overview: wb.Overview) -> None:
    figures = overview.frame().set_index("figure")["value"]
    expected = 2 / figures["curvature_largest_eigenvalue"]
    assert figures["step_formula_λ_of_all_data"] == pytest.approx(expected, rel=1e-6)


def test_what_is_advised_is_half_of_what_was_tested(overview: wb.Overview) -> None:
    step = overview["step"]
    assert isinstance(step, step_section.StepSection)
    assert step.limit is not None
    assert step.advised is not None
    low, high = step.advised
    assert high == pytest.approx(step.limit.advised / 2)
    assert 0 < low < high
    assert f"{high:.2g}" in overview.sentence


def test_it_is_saved_and_read_again(overview: wb.Overview, tmp_path: Path) -> None:
    again = wb.load_result(overview.save(tmp_path / "overview.npz"))
    assert again.summary() == overview.summary()
    assert again.frame().equals(overview.frame())


def test_the_page_has_every_section_and_asks_the_network_for_nothing(
    overview: wb.Overview, tmp_path: Path
) -> None:
    page = overview.to_html(tmp_path / "page.html").read_text()
    for section in overview.sections.values():
        assert section.title in page
    drawn = sum(section.drawable for section in overview.sections.values())
    assert page.count('<img src="data:image/png;base64,') == drawn >= 5
    assert "http" not in page.replace("http-equiv", "")
    assert list(tmp_path.iterdir()) == [tmp_path / "page.html"]


def test_a_page_of_the_project_links_to_its_notebooks_and_others_do_not(
    overview: wb.Overview, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ".ipynb" not in overview.to_html(tmp_path / "elsewhere" / "page.html").read_text()
    project = tmp_path / "project"
    shutil.copytree(paths.notebooks(), project / "notebooks")
    monkeypatch.setattr(paths, "notebooks", lambda: project / "notebooks")
    page = overview.to_html(project / "reports" / "page.html")
    links = re.findall('href="([^"#]+)"', page.read_text())
    assert len(links) == len(overview.sections)
    assert all((page.parent / link).is_file() for link in links)


def test_the_same_seed_gives_the_same_overview(overview: wb.Overview) -> None:
    again = analyze(classifier(), budget=BUDGET, held_out=(torch.randn(50, 6), torch.randint(3, (50,))))
    mine, theirs = (each.frame().query("section != 'model'") for each in (overview, again))
    assert mine.equals(theirs)


@pytest.mark.parametrize("budget", [3, 30, 120, 300, 1200, 2000])
def test_a_budget_of_gradients_is_kept(budget: float) -> None:
    found = analyze(classifier(), budget=budget)
    assert found.gradients <= budget
    assert len(found.sections) + len(found.missing) == len(SECTIONS)
    assert all("gradients at least" in each for each in found.missing)


def test_formulas_stand_alone_where_no_rate_can_be_tried() -> None:
    step = analyze(classifier(), budget=60, learning_rate=0.1)["step"]
    assert isinstance(step, step_section.StepSection)
    assert step.limit is None
    assert "none is advised" in step.sentence
    assert [mark.tested for mark in step.marks] == [False, False]
    assert any("gradients at least, which the budget does not leave" in each for each in step.left_out)


def test_batches_larger_than_a_quarter_of_the_data_are_not_compared() -> None:
    found = analyze(classifier(20), budget=60)["gradient"]
    assert isinstance(found, gradient_section.GradientSection)
    assert found.statistics is not None
    assert found.statistics.batch_size == 5
    assert any("of 20 examples they overlap too much" in each for each in found.left_out)


def test_pictures_are_taken_from_several_batches() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 2)).eval()
    data = [(torch.randn(2, 1, 8, 8), torch.tensor([0, 1])) for _ in range(4)]
    found = analyze(wb.Problem(model, nn.CrossEntropyLoss(), data), budget=100)["saliency"]
    assert isinstance(found, saliency_section.SaliencySection)
    inputs = found.maps[0].inputs
    assert inputs is not None
    assert torch.equal(inputs, torch.cat([batch[0] for batch in data[:3]]))
    assert "Maps of 6 pictures" in found.sentence
    assert "6 examples" in found.caption


def test_a_larger_budget_goes_deeper() -> None:
    small, large = (analyze(classifier(), budget=budget) for budget in (250, 1500))
    assert small["curvature"].gradients < large["curvature"].gradients


def test_the_model_is_left_as_it_was() -> None:
    problem = classifier()
    optimizer = torch.optim.SGD(problem.model.parameters(), lr=0.1, momentum=0.9)
    problem.model(torch.randn(4, 6)).sum().backward()
    optimizer.step()
    before = {name: value.clone() for name, value in problem.model.state_dict().items()}
    gradients = [p.grad.clone() for p in problem.model.parameters() if p.grad is not None]
    momenta = [optimizer.state[p]["momentum_buffer"].clone() for p in problem.model.parameters()]
    analyze(problem, optimizer, budget=600)
    assert all(torch.equal(value, before[name]) for name, value in problem.model.state_dict().items())
    assert all(torch.equal(p.grad, g) for p, g in zip(problem.model.parameters(), gradients, strict=True))
    now = [optimizer.state[p]["momentum_buffer"] for p in problem.model.parameters()]
    assert all(map(torch.equal, now, momenta))
    assert not any(module._forward_hooks for module in problem.model.modules())


def test_todays_rate_is_that_of_the_optimizer() -> None:
    problem = classifier()
    found = analyze(problem, torch.optim.SGD(problem.model.parameters(), lr=50.0), budget=900)
    step = found["step"]
    assert isinstance(step, step_section.StepSection)
    assert step.rate == 50.0
    assert any("beyond the largest" in caution.text for caution in step.cautions)
    assert "Today's rate of 50" in step.sentence


def test_checkpoints_bring_the_path_of_the_training() -> None:
    problem = classifier()
    states = []
    optimizer = torch.optim.SGD(problem.model.parameters(), lr=0.5)
    batch, _ = next(problem.batches())
    for _ in range(4):
        states.append({name: value.clone() for name, value in problem.model.state_dict().items()})
        optimizer.zero_grad()
        nn.functional.cross_entropy(problem.model(batch[0]), batch[1]).backward()
        optimizer.step()
    found = analyze(problem, checkpoints=states, budget=2000)
    assert any(each.startswith("highest barrier") for each in (f.name for f in found["loss"].findings))
    assert "path of the training: no checkpoints were given" not in found["loss"].left_out


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells, self.out = nn.GRU(4, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.cells(x)[0][:, -1])


class Custom(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(Square.apply(self.first(x)))


class Down(nn.Module):
    """A network like a U: down, up again, and a way around."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.middle = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, 2, 1)
        self.up, self.out = nn.ConvTranspose2d(4, 4, 2, 2), nn.Conv2d(8, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.down(x).relu()
        return self.out(torch.cat([wide, self.up(self.middle(wide).relu())], 1))


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(9, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.head = nn.Linear(8, 9)

    def forward(self, codes: Tensor) -> Tensor:
        return self.head(self.block(self.embedding(codes))).transpose(1, 2)


def recurrent() -> wb.Problem:
    return wb.Problem(
        Recurrent().eval(), nn.CrossEntropyLoss(), (torch.randn(60, 5, 4), torch.arange(60) % 3)
    )


def custom() -> wb.Problem:
    return wb.Problem(Custom().eval(), nn.CrossEntropyLoss(), (torch.randn(60, 4), torch.arange(60) % 3))


def regression() -> wb.Problem:
    pictures = torch.randn(24, 1, 8, 8)
    return wb.Problem(Down().eval(), nn.MSELoss(), (pictures, pictures.roll(1, -1)))


def tokens() -> wb.Problem:
    codes = torch.randint(9, (40, 6))
    return wb.Problem(Tokens().eval(), nn.CrossEntropyLoss(), (codes, codes.roll(1, 1)))


def frozen() -> wb.Problem:
    backbone = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2)
    )
    for parameter in backbone.parameters():
        parameter.requires_grad_(False)
    model = nn.Sequential(backbone, nn.Flatten(), nn.Linear(16, 4)).eval()
    return wb.Problem(model, nn.CrossEntropyLoss(), (torch.randn(40, 3, 8, 8), torch.arange(40) % 4))


def contrastive() -> wb.Problem:
    def loss(outputs: Tensor, _: Tensor) -> Tensor:
        unit = nn.functional.normalize(outputs, dim=1)
        similar = unit @ unit.T / 0.5 - 1e4 * torch.eye(len(unit))
        return nn.functional.cross_entropy(similar, torch.arange(len(unit)) ^ 1)

    data = [(torch.randn(8, 4), torch.zeros(8)) for _ in range(3)]
    return wb.Problem(nn.Linear(4, 5).eval(), loss, data, weight="batch")


def dictionaries() -> wb.Problem:
    data = [{"x": torch.randn(8, 4), "y": torch.randn(8, 2)} for _ in range(3)]
    return wb.Problem(
        nn.Linear(4, 2).eval(),
        nn.MSELoss(),
        data,
        forward=lambda model, batch: model(batch["x"]),
        targets=lambda batch: batch["y"],
    )


@pytest.mark.parametrize(
    "make",
    [recurrent, custom, regression, tokens, frozen, contrastive, dictionaries],
    ids=lambda make: make.__name__,
)
def test_any_model_gets_its_overview(make: Callable[[], wb.Problem], tmp_path: Path) -> None:
    torch.manual_seed(0)
    found = analyze(make(), "adam", budget=500, batch_size=4)
    assert list(found.sections) == list(SECTIONS), found.missing
    for key in ("model", "gradient", "curvature", "loss"):
        assert found[key].findings, found[key].left_out
    assert found.to_html(tmp_path / "page.html").stat().st_size > 10_000
    assert wb.load_result(found.save(tmp_path / "o.npz")).summary() == found.summary()


def test_a_deep_section_leaves_the_others_their_share() -> None:
    torch.manual_seed(0)
    assert not analyze(dictionaries(), "adam", budget=500, batch_size=4).missing


def test_what_does_not_apply_has_its_reason() -> None:
    torch.manual_seed(0)
    found = analyze(contrastive(), budget=300)
    assert any("cannot be taken out of their batches" in each for each in found["step"].left_out)
    assert any("neither pictures" in each for each in found["saliency"].left_out)


def test_an_interrupt_returns_the_sections_that_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(curvature_section, "spectrum", interrupted)
    found = analyze(classifier(), budget=900)
    assert list(found.sections) == ["model", "gradient", "curvature"]
    assert found.interrupted
    assert "INTERRUPTED" in found.account


def test_a_listener_sees_its_progress_and_may_stop_it() -> None:
    told: list[str] = []

    def listen(description: str, done: int, total: int | None) -> None:
        told.append(description)
        if "curvature" in description:
            raise KeyboardInterrupt

    with listening(listen):
        found = analyze(classifier(), budget=900)
    assert found.interrupted
    assert any("gradient" in each for each in told)


def test_a_budget_of_time_is_kept_on_a_part_of_the_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "seconds_of_gradient", lambda problem: 10.0)
    found = analyze(classifier(3000), budget="20s")
    assert 64 <= found.examples < found.of_examples == 3000
    assert f"on {found.examples:,} of 3,000 examples" in found.account
    figures = found.frame().set_index("figure")["value"]
    assert figures["model_examples"] == found.examples


def test_bad_arguments_are_refused_at_once() -> None:
    problem = classifier()
    with pytest.raises(ValueError, match="learning_rate=0 is out of range"):
        analyze(problem, learning_rate=0)
    with pytest.raises(ValueError, match="is not one of 'sgd', 'momentum', 'adam'"):
        analyze(problem, "sgdd")
    with pytest.raises(ValueError, match="the optimizer has one already"):
        analyze(problem, torch.optim.SGD(problem.model.parameters(), lr=0.1), learning_rate=0.1)
    with pytest.raises(ValueError, match="holds none of the parameters"):
        analyze(problem, torch.optim.SGD(classifier().model.parameters(), lr=0.1))
    with pytest.raises(ValueError, match="batch_size=0 is out of range"):
        analyze(problem, batch_size=0)
    with pytest.raises(ValueError, match=r"section='curve' is not one of .*did you mean 'curvature'"):
        analyze(problem, budget=100)["curve"]


def test_planted_faults_are_warned_of() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 2))
    with torch.no_grad():
        model[0].weight[:20] = 0.0  # half of the units are dead
        model[0].bias[:20] = -1.0
        model[2].weight *= 1000  # and a layer explodes
    targets = (torch.arange(210) % 21 == 0).long()  # twenty times as many of one class
    found = analyze(
        wb.Problem(model.eval(), nn.CrossEntropyLoss(), (torch.randn(210, 6), targets)), budget=300
    )
    texts = [caution.text for caution in found.cautions]
    assert any("50% of the 40 units of 1 are dead" in text for text in texts)
    assert any("typical output grows" in text for text in texts)
    assert any("20 times the examples of the rarest" in text for text in texts)
    assert all(math.isfinite(caution.value) for caution in found.cautions)


def test_a_loss_without_curvature_is_described_all_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    data = (torch.randn(100, 6), torch.randn(100, 2))
    found = analyze(wb.Problem(nn.Linear(6, 2), nn.L1Loss(), data), budget=700)
    assert "bends up in no direction" in found["curvature"].sentence
    assert not [mark for mark in found["step"].findings if mark.name.startswith("formula")]
    assert found.to_html(tmp_path / "page.html").exists()


def test_a_slice_that_still_falls_at_its_end_says_so() -> None:
    data = (torch.ones(10, 1), torch.ones(10, 1))
    model = nn.Linear(1, 1)
    model.load_state_dict({"weight": torch.zeros(1, 1), "bias": torch.zeros(1)})
    problem = wb.Problem(model, lambda outputs, _: -torch.sigmoid(outputs).mean(), data)
    found = analyze(problem, budget=50, learning_rate=0.1)["loss"]
    assert "or more, beyond what was looked at" in found.sentence
    (best,) = [each for each in found.findings if each.name == "best rate of a single step"]
    assert (best.kind, best.high) == ("at least", math.inf)


def test_a_loss_that_is_a_sum_has_no_formula() -> None:
    torch.manual_seed(0)
    data = (torch.randn(100, 6), torch.randn(100, 2))
    step = analyze(wb.Problem(nn.Linear(6, 2), nn.MSELoss(reduction="sum"), data), budget=700)["step"]
    assert isinstance(step, step_section.StepSection)
    assert [mark.tested for mark in step.marks] == [True]
    assert any("formulas: the loss is a sum" in each for each in step.left_out)


def test_a_search_without_a_result_is_paid_for() -> None:
    torch.manual_seed(0)
    data = (torch.randn(200, 6), torch.zeros(200).long())
    found = analyze(wb.Problem(nn.Linear(6, 3), nn.CrossEntropyLoss(), data), budget=300)
    assert any("trying learning rates" in each for each in found["step"].left_out)
    assert found["step"].gradients > 50
    assert any("2 of the 3 classes have no example" in each.text for each in found.cautions)


def test_the_notebook_shows_every_section() -> None:
    (path,) = [each.path for each in list_notebooks() if each.name == "overview"]
    text = path.read_text()
    missing = [key for key in SECTIONS if f'overview.sections.get(\\"{key}\\"' not in text]
    assert not missing, f"{path.name} has no cell for these"


def test_the_docstring_of_analyze_names_every_section() -> None:
    document = inspect.getdoc(analyze) or ""
    (names,) = re.findall(r"^sections : .*\n((?: {4}.*\n)+)", document, re.MULTILINE)
    assert re.findall(r'"(\w+)"', names) == list(SECTIONS)


def test_the_documents_table_has_every_section() -> None:
    document = (paths.notebooks().resolve().parent / "docs" / "overview.md").read_text()
    rows = [f"| {kind.section.title} | `{key}` | " for key, kind in SECTIONS.items()]
    missing = [row for row in rows if row not in document]
    assert not missing, "add these rows to the table of sections in docs/overview.md"
