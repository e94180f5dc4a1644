"""Object storage: an S3 server on loopback holds what a disk would, and half of a run is never read."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cohorts import write_cohort

from deepicd import lease
from deepicd.cli import cli
from deepicd.errors import DeepicdError
from deepicd.remote import lock, mirror
from deepicd.remote.store import Store

moto = pytest.importorskip("moto.server")
pytest.importorskip("s3fs")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty bucket; this machine has no copy of anything in it."""
    import boto3

    settings = {"ENDPOINT_URL": server, "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "DEFAULT_REGION": "us-east-1"}
    for name, value in settings.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    name = f"clinic-{time.monotonic_ns()}"
    boto3.client("s3").create_bucket(Bucket=name)
    return f"s3://{name}"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def upload(folder: Path, url: str) -> None:
    store = Store(url)
    for path in folder.rglob("*"):
        if path.is_file():
            store.put(path.relative_to(folder).as_posix(), path)


def distill(cohort: str | Path, out: str | Path, *options: str) -> Result:
    return run("distill", cohort, out, "--recipe", "rehearsal", "-q", *options)


def download(url: str, folder: Path) -> dict[str, bytes]:
    """Return the rows that a store has, by name."""
    store, contents = Store(url), {}
    for name in store.list_files():
        if name.endswith(".parquet"):
            store.fetch(name, folder / name)
            contents[name] = (folder / name).read_bytes()
    return contents


def test_stages_read_and_write_a_bucket_as_they_do_a_disk(bucket: str, tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort", 30)
    upload(cohort, f"{bucket}/cohort")
    assert distill(f"{bucket}/cohort", f"{bucket}/traces").exception is None
    chain = ["assemble", "--cohort", f"{bucket}/cohort", "--traces", f"{bucket}/traces", f"{bucket}/dataset"]
    assert run(*chain).exception is None
    assert distill(cohort, tmp_path / "traces").exception is None
    assert run("assemble", "--cohort", cohort, "--traces", tmp_path / "traces", tmp_path / "dataset").exception is None
    for folder in ("traces", "dataset"):
        local = {
            path.relative_to(tmp_path / folder).as_posix(): path.read_bytes()
            for path in (tmp_path / folder).rglob("*.parquet")
        }
        assert download(f"{bucket}/{folder}", tmp_path / "down" / folder) == local
    assert not any(name.startswith(".") for name in Store(f"{bucket}/traces").list_files())


def test_another_machine_finds_the_ledger_and_asks_for_nothing_again(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = write_cohort(tmp_path / "cohort", 30)
    for number in ("1", "2"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / number))
        assert distill(cohort, f"{bucket}/traces", "--shard", f"{number}/2").exception is None
    before = set(Store(f"{bucket}/traces/ledger").list_files())
    assert before == {"00000.jsonl", "00001.jsonl"}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "3"))
    assert distill(cohort, f"{bucket}/traces", "--merge").exception is None
    assert set(Store(f"{bucket}/traces/ledger").list_files()) == before


def test_a_run_that_stops_before_its_record_is_written_is_no_run(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort, put = write_cohort(tmp_path / "cohort", 30), Store.put

    def break_off(store: Store, name: str, path: Path) -> None:
        if name.endswith("run.json"):
            raise DeepicdError("The network is gone.")
        put(store, name, path)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "put", break_off)
        assert isinstance(distill(cohort, f"{bucket}/traces").exception, DeepicdError)
    assert any(name.endswith("kept/train-00000.parquet") for name in Store(f"{bucket}/traces").list_files())
    with pytest.raises(DeepicdError, match="holds no finished run"):
        mirror.fetch_input(f"{bucket}/traces")
    assert distill(cohort, f"{bucket}/traces").exception is None
    assert mirror.fetch_input(f"{bucket}/traces").is_dir()


def test_a_run_whose_files_are_not_what_its_record_says_is_refused(bucket: str, tmp_path: Path) -> None:
    upload(write_cohort(tmp_path / "cohort", 30), f"{bucket}/cohort")
    (tmp_path / "other").write_bytes(b"x")
    Store(f"{bucket}/cohort").put("train.parquet", tmp_path / "other")
    with pytest.raises(DeepicdError, match="0 files are missing and 1 differ"):
        mirror.fetch_input(f"{bucket}/cohort")
    Store(f"{bucket}/cohort").remove("train.parquet")
    (mirror.Mirror(Store(f"{bucket}/cohort"), "input").folder / "train.parquet").unlink()
    with pytest.raises(DeepicdError, match="1 files are missing"):
        mirror.fetch_input(f"{bucket}/cohort")


def test_of_two_processes_one_writes_and_a_dead_one_is_succeeded(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = write_cohort(tmp_path / "cohort", 30)
    store = Store(f"{bucket}/traces")
    store.create(lease.LOCK, b"another")
    failure = distill(cohort, f"{bucket}/traces").exception
    assert isinstance(failure, DeepicdError)
    assert "Another process is writing" in str(failure)
    assert set(store.list_files()) == {lease.LOCK}
    with mirror.open_output(f"{bucket}/shared", "-1-of-2"), mirror.open_output(f"{bucket}/shared", "-2-of-2"):
        for suffix in ("", "-1-of-3"):
            with pytest.raises(DeepicdError, match="Another process"), mirror.open_output(f"{bucket}/shared", suffix):
                pass
    monkeypatch.setattr("deepicd.remote.lock.STALE_AFTER", -1.0)
    assert distill(cohort, f"{bucket}/traces").exception is None


def test_of_two_that_take_over_a_dead_lock_in_the_same_moment_one_writes(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store(f"{bucket}/out").create(lease.LOCK, b"dead")
    monkeypatch.setattr(lock, "STALE_AFTER", -1.0)
    judge, both_have_judged = lock._refuse_living, threading.Barrier(2)
    outcomes: list[str] = []

    def judge_together(store: Store, name: str) -> str | None:
        tag = judge(store, name)
        both_have_judged.wait(60)
        return tag

    def take_over() -> None:
        try:
            with lock.hold_lock(Store(f"{bucket}/out"), ""):
                outcomes.append("has it")
        except DeepicdError as error:
            outcomes.append(error.what.partition(" to ")[0])

    monkeypatch.setattr(lock, "_refuse_living", judge_together)
    threads = [threading.Thread(target=take_over) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["Another process is writing", "has it"]


def test_a_heartbeat_that_comes_too_late_leaves_the_successors_lock(bucket: str) -> None:
    store = Store(f"{bucket}/out")
    store.create(lease.LOCK, b"9c0e")
    judged = store.read(lease.LOCK)
    assert judged is not None
    store.overwrite(lease.LOCK, b"another")  # between reading and writing
    assert not store.replace(lease.LOCK, b"9c0e 1", judged[2])
    left = store.read(lease.LOCK)
    assert left is not None
    assert left[0] == b"another"


def test_who_was_succeeded_writes_nothing_more(bucket: str) -> None:
    store = Store(f"{bucket}/out")
    with (
        pytest.raises(DeepicdError, match="Another process has taken over"),
        mirror.open_output(f"{bucket}/out") as folder,
    ):
        folder.mkdir(exist_ok=True)
        (folder / "data.txt").write_text("late")
        store.overwrite(lease.LOCK, b"another")
    assert set(store.list_files()) == {lease.LOCK}


def test_a_store_elsewhere_takes_nothing_without_the_sentence(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://203.0.113.7:1")
    with pytest.raises(
        DeepicdError, match="neither this machine nor a private address: nothing was written"
    ) as refusal:
        Store(f"{bucket}/out").check_that_it_may_be_written()
    sentence = str(refusal.value).partition('="')[2].rstrip('"')
    monkeypatch.setenv("DEEPICD_RESPONSIBLE", sentence)
    Store(f"{bucket}/out").check_that_it_may_be_written()


def test_a_server_that_is_gone_is_an_error_in_words(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(DeepicdError, match="Check address, credentials and network"):
        mirror.fetch_input(f"{bucket}-gone/cohort")


def test_a_command_that_knows_no_urls_refuses_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in (["synthesize", "s3://clinic/mimic"], ["build", "--mimic", "s3://clinic/mimic", "out"]):
        failure = run(*arguments).exception
        assert isinstance(failure, DeepicdError)
        assert "is a URL, which this command does not read or write here" in str(failure)
    assert list(tmp_path.iterdir()) == []


def test_a_file_url_is_a_path(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "a cohort", 30)
    assert distill(f"file://{str(cohort).replace(' ', '%20')}", f"file://{tmp_path}/traces").exception is None
    assert (tmp_path / "traces" / "ledger").is_dir()
