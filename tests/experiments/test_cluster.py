"""The grid on a real Ray cluster of two nodes on loopback, one of whose workers is killed."""

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest
from conftest import prepare_stripes

from eacbook import cli
from eacbook.experiments.runs import list_runs, read_facts

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="needs ray: eacbook[cluster]"),
]
LOOPBACK = "127.0.0.2"  # Ray takes 127.0.0.1 for the outer address of this machine
EPOCHS = 8
GRID = (
    *("--methods", "baseline", "eac", "--noise", "0.3", "--seeds", "0", "1"),
    *("--epochs", str(EPOCHS), "--batch-size", "32"),
)


def free_port():
    with socket.socket() as somewhere:
        somewhere.bind(("127.0.0.1", 0))
        return somewhere.getsockname()[1]


@pytest.fixture
def cluster(monkeypatch):
    """Two nodes with one core each; the address is what a user gives."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # 15 lets every other test go first
    cluster, address = two_nodes()
    yield address
    cluster.shutdown()


def two_nodes(tries=2):
    """Without what only watches a cluster: every such process loads all of Ray."""
    from ray import cluster_utils  # takes seconds, also where only the fast tests are run

    port = free_port()
    node = {
        "node_ip_address": LOOPBACK, "num_cpus": 1, "object_store_memory": 80 << 20,
        "include_log_monitor": False,
    }  # fmt: skip
    head = {**node, "include_dashboard": False, "no_monitor": True, "ray_client_server_port": port}
    try:
        cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
        cluster.add_node(**node)
        cluster.wait_for_nodes()
    except Exception as error:  # of no kind of its own; its processes end with this one
        if tries == 1 or "timed out" not in str(error):
            raise
        return two_nodes(tries - 1)  # on a busy machine: Ray gives a node 30 seconds to start
    return cluster, f"ray://{LOOPBACK}:{port}"


def start(command):
    """The command, once the cluster has let it in: on a busy machine Ray's own server is late."""
    for _ in range(3):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        if line := process.stdout.readline():
            assert line.startswith("4 cells: 0 stored, 4 to train by 2 workers on the cluster")
            return process
        _, error = process.communicate()
        assert "refuses the connection" in error, error
    raise AssertionError(error)


def wait_for(what, seconds, process):
    end = time.monotonic() + seconds
    while not (found := what()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.05)
    return found


def busy_workers():
    """The processes of Ray's pool that work, under any node of this test."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if is_busy_worker(child)]


def is_busy_worker(process):
    try:
        return "ray::PoolActor.run_batch" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def test_a_killed_worker_loses_no_cell_and_doubles_none(cluster, tmp_path):
    data, runs = prepare_stripes(tmp_path / "stripes", train=400), tmp_path / "runs"
    command = [sys.executable, "-m", "eacbook", "table", "--cluster", cluster, *GRID]
    table = start([*command, "--data", data, "--folder", str(runs)])
    try:
        wait_for(lambda: list(runs.glob("*.partial/checkpoint.safetensors")), 240, table)
        workers = wait_for(busy_workers, 60, table)
        os.kill(workers[0].pid, signal.SIGKILL)
        finished_before = len(list_runs(runs))
        out, err = table.communicate(timeout=400)
    finally:
        table.kill()
    assert table.returncode == 0, err
    assert finished_before < 4  # or there was nothing to lose
    assert re.search(r"eac +\d+\.\d ± \d+\.\d +\d+\.\d ± \d+\.\d", out)
    places = list_runs(runs)
    assert len(places) == 4 and not list(runs.glob("*.partial"))
    for place in places:
        epochs = [row["epoch"] for row in read_facts(place)["rows"]]
        assert epochs == list(range(1, EPOCHS + 1))


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("ray://127.0.0.1:FREE", "no Ray cluster answers at ray://127.0.0.1"),
        ("ray://nowhere.invalid:10001", "no Ray cluster answers at ray://nowhere.invalid"),
        ("somewhere", "expected ray://HOST:10001"),
        ("ray://host:port", "expected ray://HOST:10001"),
    ],
)
def test_a_cluster_that_is_not_there_gets_one_sentence(address, expected, tmp_path, capsys):
    started, address = time.monotonic(), address.replace("FREE", str(free_port()))
    assert cli.main(["table", "--cluster", address, "--folder", str(tmp_path)]) == 2
    assert time.monotonic() - started < 30
    error = capsys.readouterr().err.strip()
    assert error.startswith("eacbook: error: ") and "\n" not in error
    assert expected in error


def test_without_ray_its_package_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert cli.main(["table", "--cluster", "ray://h:1", "--folder", str(tmp_path)]) == 2
    assert 'pip install "eacbook[cluster] @ git+https' in capsys.readouterr().err
