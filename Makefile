# `make` alone lists what there is. Every target first makes .venv, or brings it up to date.

PYTHON ?= python3
OUT ?= out/demo

# To the recipe they go through the environment: names may hold quotes and spaces.
export CLIP OUT

# A sourced ROS installation would mix its libraries with those of .venv.
ifdef ROS_DISTRO
unexport AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH LD_LIBRARY_PATH ROS_DISTRO \
  ROS_VERSION RMW_IMPLEMENTATION
endif
unexport PYTHONPATH PYTHONHOME

.PHONY: help .venv demo test test-slow lint clean

help:
	@echo 'make demo                   a clip through the whole system; results in $(OUT)'
	@echo 'make demo CLIP=my.mp4       the same for your own recording; OUT=folder for another folder'
	@echo 'make test                   the tests; make test-slow: those that take minutes'
	@echo 'make lint                   check style and types'
	@echo 'make .venv                  only make the environment; then .venv/bin/avsol --help'
	@echo 'make clean                  remove .venv and what was built; results in out/ stay'

.venv:
	@$(PYTHON) env/make_venv.py

demo: .venv
	@.venv/bin/avsol demo $(if $(CLIP),"$$CLIP") --out "$$OUT" $(ARGS)

test: .venv
	@.venv/bin/python -m pytest $(ARGS)

test-slow: .venv
	@.venv/bin/python -m pytest -m slow $(ARGS) || [ $$? -eq 5 ]  # 5: there are none

lint: .venv
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy

clean:
	rm -rf .venv build install log .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
