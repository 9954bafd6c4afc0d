"""What ``pytest --nbval`` does not compare: what is drawn, and what a machine says of itself."""


def pytest_collectstart(collector):
    if collector.fspath and collector.fspath.ext == ".ipynb":
        collector.skip_compare += (
            "text/html",
            "application/vnd.plotly.v1+json",
            "stderr",
            "image/png",
        )
