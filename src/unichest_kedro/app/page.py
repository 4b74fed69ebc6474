"""The page itself: one `Page` per browser tab, which forgets its films when the tab is closed."""

from importlib.resources import files

import numpy as np
from nicegui import app, run, ui
from nicegui.elements.mixins.text_element import TextElement
from nicegui.elements.upload_files import FileUpload
from nicegui.events import MultiUploadEventArguments
from starlette.formparsers import MultiPartParser
from starlette.middleware.trustedhost import TrustedHostMiddleware

from unichest_kedro.app.bars import Bar, bars_of, experts_line, first_choice, split_words
from unichest_kedro.app.viewer import Answers, Film, Row, Viewer, picture, read_film, unique_name, unread
from unichest_kedro.errors import UniChestError, UnreadableImage
from unichest_kedro.evaluation.films import NOTHING_FOUND
from unichest_kedro.evaluation.style import finding_title

LARGEST_FILE = 256 * 1024**2
MOST_FILMS = 50
"""Films that a tab holds in memory; for more there is `kedro run --pipeline=predict`."""

THUMBNAIL = 96
FORGOTTEN_AFTER = 60
"""Seconds after which a tab that is gone is forgotten; a shorter interruption is none."""

RESENT = 50
"""Messages to a tab that are kept for such an interruption; they hold pictures."""

ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="6" fill="#0072B2"/>'
    '<g fill="#fff"><rect x="6" y="7" width="20" height="4"/><rect x="6" y="14" width="13" height="4"/>'
    '<rect x="6" y="21" width="7" height="4"/></g></svg>'
)


def serve(viewer: Viewer, host: str, port: int) -> None:
    """Serve the page until the process is told to stop."""
    # Only a page of this address may ask: another host's name that is made to point here is refused.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[host, "localhost"])
    MultiPartParser.spool_max_size = LARGEST_FILE  # in memory: what is dropped does not stay on disk
    app.on_startup(lambda: print(f"Open http://{host}:{port} in a browser. Ctrl+C ends it.", flush=True))
    ui.run(
        lambda: Page(viewer).build(),
        host=host,
        port=port,
        title="UniChest: look at films",
        favicon=ICON,
        dark=None,
        language="en-US",
        reload=False,
        show=False,
        tailwind=False,
        show_welcome_message=False,
        reconnect_timeout=FORGOTTEN_AFTER,
        message_history_length=RESENT,
    )


def text(tag: str, words: str, classes: str = "") -> TextElement:
    """An element that holds words, which are shown as they are, whatever they contain."""
    return TextElement(tag=tag, text=words).classes(classes)


class Page:
    """One browser tab: its films, what is asked, and what is shown of it."""

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.words: tuple[str, ...] = ()
        self.questions = viewer.questions()
        self.films: dict[str, Film] = {}
        self.unread: dict[str, str] = {}
        self.answers: dict[str, Answers] = {}
        self.anyway: set[str] = set()
        self.shown = ""
        self.finding = ""
        self.buttons: dict[str, ui.element] = {}
        self.rows: dict[str, ui.element] = {}

    def build(self) -> None:
        """Lay the page out."""
        ui.context.client.on_delete(self._let_go)
        ui.add_css((files("unichest_kedro.app") / "style.css").read_text(encoding="utf-8"))
        with ui.element("header").classes("top"):
            text("h1", "UniChest: look at films")
            text("p", "Research use only. Not a medical device.", "disclaimer")
        with ui.element("main").classes("page"):
            with ui.element("section").classes("film-side"):
                self._build_film_side()
            with ui.element("section").classes("findings-side"):
                self._build_findings_side()
        with ui.element("footer").classes("soft"):
            for line in self.viewer.about():
                text("p", line)

    def _build_film_side(self) -> None:
        self.upload = (
            ui.upload(
                label="Drop films here, or choose them with +  (DICOM, PNG, JPEG)",
                multiple=True,
                auto_upload=True,
                max_file_size=LARGEST_FILE,
                on_multi_upload=self._on_files,
                on_rejected=lambda: self._complain(f"A file was refused: the limit is {LARGEST_FILE >> 20} MB."),
            )
            .props("flat")
            .classes("drop")
        )
        self.status = text("p", "", "status soft").props("role=status")
        self.messages = ui.element("div").classes("messages").props("role=alert")
        self.strip = ui.element("div").classes("strip")
        self.title = text("h2", "No film yet", "film-title")
        self.warning = text("p", "", "warning").props("role=alert")
        self.image = ui.element("img").classes("film").props('alt="The film"')
        self.caption = text("p", "", "caption soft")
        self.heat = ui.switch("Heat map", value=True, on_change=self._draw)
        self._hide(self.warning, self.image, self.heat)

    def _build_findings_side(self) -> None:
        text("h2", "Findings")
        with ui.element("div").classes("ask"):
            others = [name for name in self.viewer.model.findings if name not in self.questions.findings]
            self.box = ui.input(placeholder="rib fracture; hiatal hernia", autocomplete=others)
            self.box.props('label="Ask for something else, in words" outlined dense stack-label').classes("box")
            self.box.on("keydown.enter", self._on_ask)
            ui.button("Ask", on_click=self._on_ask).props("unelevated no-caps")
        self.added = ui.element("div").classes("added")
        self.anyway_button = ui.button("Show the findings all the same", on_click=self._on_anyway)
        self.anyway_button.props("outline no-caps")
        self.bars = ui.element("div").classes("bars")
        with self.bars:
            text("p", "Bars appear here once a film is there, the highest first.", "soft")
        self.experts = text("p", "", "experts soft")
        with ui.element("div").classes("actions"):
            self.save = ui.button("Table of all films (CSV)", on_click=self._on_save).props("outline no-caps")
            self.forget = ui.button("Forget all films", on_click=self._on_forget).props("flat no-caps")
        self._hide(self.anyway_button, self.save, self.forget)

    async def _on_files(self, event: MultiUploadEventArguments) -> None:
        self.upload.reset()
        new = [name for file in event.files if (name := await self._add(file))]
        self.status.text = ""
        if new:
            self._set_visible(True, self.save, self.forget)
            await self._show(new[0])

    async def _add(self, file: FileUpload) -> str:
        """Read one file; returns the film's name, "" where there is none."""
        if len(self.films) >= MOST_FILMS:
            self._complain(
                f"{file.name}: not taken, {MOST_FILMS} films are the limit here; for more use "
                "`kedro run --pipeline=predict`, or forget those that are here."
            )
            return ""
        name = unique_name(file.name, [*self.films, *self.unread])
        self.status.text = f"Reading {name} ..."
        try:
            film = await run.io_bound(read_film, name, await file.read())
        except UnreadableImage as error:
            self.unread[name] = str(error)
            self._complain(f"{name}: cannot be read: {error}")
            return ""
        self.films[name] = film
        small = await run.io_bound(picture, film, None, THUMBNAIL)
        with self.strip:
            button = ui.element("button").classes("thumb").props('type="button"')
            button.props["title"] = name
            button.on("click", lambda: self._show(name))
        with button:
            image = ui.element("img")
            image.props["src"], image.props["alt"] = small, name
        self.buttons[name] = button
        return name

    async def _show(self, name: str) -> None:
        """Show a film and, unless something speaks against it, its findings."""
        film = self.films[name]
        self.shown = name
        for other, button in self.buttons.items():
            self._press(button, other == name)
        self.title.text = name
        self.warning.text = f"This may be no upright frontal chest film: {film.check.warning}."
        self._set_visible(bool(film.check.warning), self.warning)
        answered = not film.check.warning or name in self.anyway
        self._set_visible(not answered, self.anyway_button)
        self.bars.clear()
        self.experts.text = ""
        self.rows = {}
        await self._draw()
        if answered:
            answers = await self._answer(name)
            if answers and self.shown == name:
                await self._show_answers(name, answers)

    async def _answer(self, name: str) -> Answers | None:
        """Answers of a film, once computed; None, and a message, where there are none."""
        if name not in self.answers:
            self.status.text = f"Asking about {name} ..."
            film, questions = self.films[name], self.questions
            try:
                answers = await run.io_bound(self.viewer.answer, film, questions)
            except UniChestError as error:
                self._complain(str(error))
                return None
            finally:
                self.status.text = ""
            if questions is not self.questions or self.films.get(name) is not film:
                return None  # something else was asked meanwhile, or the film was forgotten
            self.answers[name] = answers
        return self.answers[name]

    async def _show_answers(self, name: str, answers: Answers) -> None:
        table = self.viewer.table([Row(name, self.films[name].seen, answers.answered)], self.questions)
        bars = bars_of(table, self.viewer.calibrations)
        self.finding = first_choice(bars, self.finding)
        self.rows = {}
        self.bars.clear()
        with self.bars:
            for number, bar in enumerate(bars):
                if number and bars[number - 1].calibrated and not bar.calibrated:
                    text("p", "Not calibrated: scores, which are no percentages", "scores soft")
                self.rows[bar.finding] = self._bar(bar)
        weights = experts_line(table)
        self.experts.text = f"Weights of the experts for this film: {weights}" if weights else ""
        await self._select(self.finding)

    def _bar(self, bar: Bar) -> ui.element:
        """One finding as a button: name, bar with the threshold's mark, number."""
        row = ui.element("button").classes("bar").props('type="button"')
        row.props["data-finding"] = bar.finding
        row.on("click", lambda: self._select(bar.finding))
        with row:
            with ui.element("span").classes("name"):
                text("span", bar.title)
                if bar.asked_as:
                    text("span", f"asked as “{bar.asked_as}”", "soft")
                if bar.trained is False:
                    text("span", "never asked in training", "untaught")
            with ui.element("span").classes("track"):
                ui.element("span").classes("fill above" if bar.above else "fill").style(f"width: {bar.value:.2%}")
                if bar.threshold is not None:
                    ui.element("span").classes("threshold").style(f"left: {bar.threshold:.2%}")
            with ui.element("span").classes("value"):
                text("span", bar.shown)
                if bar.above:
                    text("span", "above", "called")
        return row

    async def _select(self, finding: str) -> None:
        self.finding = finding
        for name, row in self.rows.items():
            self._press(row, name == finding)
        await self._draw()

    async def _draw(self) -> None:
        """Draw the film that is shown, with the chosen finding's heat map where there is one."""
        name = self.shown
        if not name:
            return
        answers = self.answers.get(name) if self.rows else None
        heat, self.caption.text = self._heat(answers)
        source = await run.io_bound(picture, self.films[name], heat)
        if self.shown == name:
            self.image.props["src"] = source
            self._set_visible(True, self.image)
            self._set_visible(answers is not None and answers.maps is not None, self.heat)

    def _heat(self, answers: Answers | None) -> tuple[np.ndarray | None, str]:
        """The chosen finding's heat map, None for none, and the words below the picture."""
        if answers is None:
            return None, ""
        title = finding_title(self.finding)
        if answers.maps is None:
            return None, f"No heat map: {answers.no_maps}"
        if self.finding in NOTHING_FOUND:
            return None, f"“{title}” has no heat map: there is no place to look at."
        if not self.heat.value:
            return None, "The film alone."
        heat = answers.maps[self.questions.findings.index(self.finding)]
        if not heat.any():
            return None, f"For {title} the network looked everywhere alike."
        return heat, f"Where the network looked for: {title}"

    async def _on_anyway(self) -> None:
        self.anyway.add(self.shown)
        await self._show(self.shown)

    async def _on_ask(self) -> None:
        words = split_words(self.box.value or "")
        if not words:
            return
        try:
            names = await run.io_bound(self.viewer.names, words)
            new = [word for word, name in zip(words, names) if name not in self.questions.findings]
        except UniChestError as error:
            self._complain(str(error))
            return
        self.box.value = ""
        self.finding = names[0]
        if new:
            await self._ask((*self.words, *new))
        elif names[0] in self.rows:
            await self._select(names[0])

    async def _ask(self, words: tuple[str, ...]) -> None:
        """Ask these words beside what was asked in training; every film is answered anew when it is looked at."""
        self.questions = await run.io_bound(self.viewer.questions, words)
        self.words = words
        self.answers.clear()
        self.added.clear()
        with self.added:
            for word in words:
                chip = ui.chip(word, removable=True, color=None).props("outline")
                chip.on_value_change(lambda _, word=word: self._ask(tuple(w for w in self.words if w != word)))
        if self.shown:
            await self._show(self.shown)

    async def _on_save(self) -> None:
        questions, films = self.questions, dict(self.films)
        rows = [unread(name, reason) for name, reason in self.unread.items()]
        for name, film in films.items():
            wanted = not film.check.warning or name in self.anyway
            answers = await self._answer(name) if wanted else None
            if self.questions is not questions or self.films.get(name) is not film:
                self._complain("The table was not written: films or findings were changed meanwhile. Write it again.")
                return
            rows.append(Row(name, film.seen, answers.answered if answers else None))
        table = self.viewer.table(rows, questions)
        ui.download.content(table.to_csv(index=False), "predictions.csv", "text/csv")

    def _let_go(self) -> None:
        """Drop all that is known of films; whatever still refers to a closed tab's page holds none."""
        for held in (self.films, self.unread, self.answers, self.buttons, self.anyway):
            held.clear()
        self.shown, self.rows = "", {}

    def _on_forget(self) -> None:
        self._let_go()
        for part in (self.strip, self.bars, self.messages):
            part.clear()
        self.title.text, self.caption.text, self.experts.text = "No film yet", "", ""
        self.image.props.pop("src", None)
        self._hide(self.warning, self.image, self.heat, self.anyway_button, self.save, self.forget)

    def _complain(self, words: str) -> None:
        """Show a message until the reader puts it away."""
        with self.messages, ui.element("p").classes("message") as message:
            text("span", words)
            ui.button("Put away", on_click=message.delete).props("flat dense no-caps")

    @staticmethod
    def _press(button: ui.element, pressed: bool) -> None:
        button.props["aria-pressed"] = "true" if pressed else "false"

    @staticmethod
    def _set_visible(visible: bool, *elements: ui.element) -> None:
        for element in elements:
            element.set_visibility(visible)

    @classmethod
    def _hide(cls, *elements: ui.element) -> None:
        cls._set_visible(False, *elements)
