"""What the test images showed: the summary and the sections with figures."""

from collections.abc import Iterator

from edge_inspector.bundle import Bundle
from edge_inspector.inspection.model import Verdict
from edge_inspector.lab.evaluation.curves import precision_recall_curve, roc_curve
from edge_inspector.lab.evaluation.evaluation import Evaluation, Judged, Localisation, confusion, finite, missed
from edge_inspector.lab.evaluation.metrics import Rate
from edge_inspector.lab.evaluation.separation import Interval
from edge_inspector.lab.report.charts import Line, curve_chart, score_chart
from edge_inspector.lab.report.markup import Content, Markup, figure, join, number, rate, section, table, tag


def summary(bundle: Bundle, evaluation: Evaluation, prevalence: float) -> Markup:
    """Return the verdict in sentences, and the figures that one asks for first."""
    miss, false_reject = evaluation.miss, evaluation.false_reject
    precision = evaluation.precision_at(prevalence)
    separation = evaluation.separation
    at_5 = None if separation is None else separation.miss_at_5
    spread = "" if precision is None else f"{precision.low:.0%} to {precision.high:.0%}"
    tiles = [
        _tile("misses", f"{miss.value:.1%}", f"{miss.hits} of {miss.parts}; {_bounds(miss)}"),
        _tile(
            "false rejects",
            f"{false_reject.value:.1%}",
            f"{false_reject.hits} of {false_reject.parts}; {_bounds(false_reject)}",
        ),
        _tile("misses at 5%", "-" if at_5 is None else f"{at_5.value:.1%}", _ends(at_5)),
        _tile("image AUROC", number(evaluation.image_auroc), f"average precision {number(evaluation.image_ap)}"),
        _tile("AUPRO", number(evaluation.aupro), f"pixel AUROC {number(evaluation.pixel_auroc)}"),
        _tile(f"precision at {100 * prevalence:.3g}%", "-" if precision is None else f"{precision.value:.0%}", spread),
        _tile(
            "time to verdict",
            f"{evaluation.milliseconds(50):.0f} ms",
            f"95% within {evaluation.milliseconds(95):.0f} ms",
        ),
    ]
    return tag("section", *verdict(bundle, evaluation), tag("div", *tiles, class_="figures"), class_="summary")


def _ends(found: Interval | None) -> str:
    return "" if found is None else f"were 5% of these good parts rejected; {found.low:.0%} to {found.high:.0%}"


def verdict(bundle: Bundle, evaluation: Evaluation) -> Iterator[Markup]:
    """Yield what was found, what it means for the calibration's bound, and what to beware of."""
    miss, false_reject, card = evaluation.miss, evaluation.false_reject, bundle.manifest.calibration
    yield tag(
        "p",
        f"Passed: {_count(miss)} defective parts. Rejected: {_count(false_reject)} good parts.",
        class_="verdict-sentence",
    )
    if evaluation.unreadable:
        names = ", ".join(f"{one.defect}/{one.path.name}" for one in evaluation.unreadable)
        count = len(evaluation.unreadable)
        yield tag("p", f"{count} files cannot be read, neither found nor missed: {names}.", class_="warning")
    if evaluation.rule != "calibrated":
        yield tag(
            "p", f"Judged by the rule “{evaluation.rule}”, for comparison; no line decides by it.", class_="warning"
        )
        return
    bound = (
        f"Cross-validation estimates that about {card.false_reject:.1%} of good parts, or fewer, are rejected"
        if card.estimated
        else f"The calibration bounds the false-reject rate at {card.false_reject:.1%} of good parts"
    )
    if false_reject.low > card.false_reject:
        yield tag(
            "p",
            f"{bound}; these images contradict it ({_bounds(false_reject)}). Light, camera or parts have changed "
            "since: recalibrate.",
            class_="warning",
        )
    else:
        yield tag("p", f"{bound}; these images do not contradict it ({_bounds(false_reject)}).")
    yield from (tag("p", note, class_="warning") for note in card.notes)


def curves_section(evaluation: Evaluation, limits: tuple[tuple[float, str], ...]) -> Markup:
    """Return ROC and precision-recall curve and the scores of both classes."""
    good, defective = finite(evaluation.good), finite(evaluation.defective)
    false_reject, found = evaluation.false_reject.value, 1 - evaluation.miss.value
    hits = evaluation.miss.parts - evaluation.miss.hits
    rejected = hits + evaluation.false_reject.hits
    roc = curve_chart(
        "ROC curve",
        "good parts rejected",
        "defective parts found",
        (Line(((0, 0), (1, 1)), "chance"), Line(roc_curve(good, defective), "main")),
        (false_reject, found),
    )
    precision_recall = curve_chart(
        "Precision-recall curve",
        "defective parts found (recall)",
        "precision",
        (Line(precision_recall_curve(good, defective), "main"),),
        (found, hits / rejected if rejected else 1.0),
    )
    scores = score_chart(good, defective, limits)
    key = tag("span", tag("i", class_="good"), "good (up) ", tag("i", class_="bad"), "defective (down)", class_="key")
    return section(
        "Scores and curves",
        "A score of 1 is the limit. The dot is where the bundle stands; every other point of a curve is another "
        "threshold, and choosing one by this chart would spoil these images as a test.",
        tag(
            "div",
            figure(scores, join(["Scores: ", key])),
            figure(roc, f"ROC, area {number(evaluation.image_auroc)}"),
            figure(precision_recall, f"Precision and recall, average precision {number(evaluation.image_ap)}"),
            class_="charts",
        ),
    )


def verdicts_section(evaluation: Evaluation) -> Markup:
    """Return the five verdicts by truth, and every class of defects by itself."""
    truths = (("good", evaluation.good), ("defective", evaluation.defective))
    counted = [_confusion_row(name, parts) for name, parts in truths]
    return section(
        "Verdicts",
        "Only OK accepts a part. A miss is a defective part with OK; a false reject a good part without. Small print: "
        "counts, and the 95% bounds (Clopper-Pearson) between which the true rate lies.",
        tag("h3", "Verdict by truth"),
        table(["truth", *Verdict, "parts"], counted, class_="confusion"),
        tag("h3", "By class of defect"),
        table(
            ["class", "parts", "misses", "image AUROC", "pixel IoU", "regions found"],
            [_kind_row(evaluation, kind) for kind in evaluation.kinds],
        ),
    )


def places_section(evaluation: Evaluation, prevalence: float) -> Markup:
    """Return whether the map shows the right places, and what is expected of a line."""
    places, precision = Localisation(evaluation.judged), evaluation.precision_at(prevalence)
    figures: list[tuple[str, Content, str]] = [
        (
            "pixel AUROC",
            number(evaluation.pixel_auroc),
            "chance that a pixel on a defect stands out more than one beside",
        ),
        (
            "AUPRO",
            number(evaluation.aupro),
            "mean share of each region that is covered, up to 30% false-positive pixels",
        ),
        ("pixel IoU", number(places.iou_mean), "blobs against drawn defects, mean over the parts with a mask"),
        ("box IoU", number(places.box_iou_mean), "boxes round the largest of each, as the prior system measured"),
        ("regions found", "-" if places.recall is None else rate(places.recall), "drawn regions that a blob lies on"),
        ("false blobs a part", number(places.false_blobs, 2), "blobs beside every drawn defect"),
        ("F1", number(evaluation.f1), "of rejecting, among these images"),
        (
            f"precision at {100 * prevalence:.3g}%",
            "-"
            if precision is None
            else join([f"{precision.value:.1%} ", tag("small", f"{precision.low:.1%} to {precision.high:.1%}")]),
            f"of the rejected parts are defective, where {100 * prevalence:.3g}% of all parts are",
        ),
        *(
            (
                f"time, {percent}%",
                f"{evaluation.milliseconds(percent):.1f} ms",
                "of the parts are judged within it, decoding included",
            )
            for percent in (50, 95, 99)
        ),
    ]
    marked, defective = len(places.marked), len(evaluation.defective)
    return section(
        "Places, precision, time",
        f"Masks were drawn for {marked} of {defective} defective parts; figures of places are in pixels of the map.",
        table(["figure", "value", "meaning"], figures, class_="meanings"),
    )


def _tile(name: str, value: str, beside: str) -> Markup:
    return tag("div", tag("span", name), tag("b", value), tag("small", beside))


def _count(found: Rate) -> str:
    return f"{found.hits or 'none'} of {found.parts}"


def _bounds(found: Rate) -> str:
    return f"95% bounds {found.low:.1%} to {found.high:.1%}"


def _confusion_row(name: str, parts: tuple[Judged, ...]) -> list[Content]:
    wrong = {Verdict.OK} if name == "defective" else set(Verdict) - {Verdict.OK}
    cells = (
        tag("span", count, class_="wrong") if count and Verdict(word) in wrong else (count or "-")
        for word, count in confusion(parts).items()
    )
    return [name, *cells, len(parts)]


def _kind_row(evaluation: Evaluation, kind: str) -> list[Content]:
    parts = evaluation.of_kind(kind)
    places = Localisation(parts)
    recall = "-" if places.recall is None else rate(places.recall)
    return [
        kind,
        len(parts),
        rate(missed(parts)),
        number(evaluation.auroc_of(parts)),
        number(places.iou_mean, 2),
        recall,
    ]
