# agentsocket: every command there is. `make` lists them; the work is done by what they call.

# := and not ?=, since USER is in everybody's environment: it is set as in `make chat USER=grace`.
USER := ada
JSON :=
FILE :=
PORT :=
LIMITS :=
PARAMETERS :=
GROUPS :=
ID :=
SCOPE :=
FUNCTION :=
EVENT :=
N :=
SEED :=
MUTANTS :=
# What a deployment runs on: the template's defaults, and what the layers are built for.
LAMBDA_PYTHON := python3.13
LAMBDA_ARCH := arm64
# Tests wait this many times as long as a quick machine would need.
TIME_FACTOR := 3
export LAMBDA_PYTHON LAMBDA_ARCH TIME_FACTOR
# Bytecode is kept: tests start Python a thousand times, and to compile anew takes longer than what it does then.
unexport PYTHONDONTWRITEBYTECODE
unexport USER JSON FILE PORT LIMITS PARAMETERS GROUPS ID SCOPE FUNCTION EVENT N SEED MUTANTS

MAKEFLAGS += --no-print-directory
PYTHON := .venv/bin/python
LOCAL := $(PYTHON) -m local
SAM := SAM_CLI_TELEMETRY=0 .tools/bin/sam
# Quoted for the shell, quotes within included, and left out when empty.
quoted = '$(subst ','\'',$(1))'
option = $(if $(2),$(1) $(call quoted,$(2)))
STACK_OPTIONS = $(call option,--port,$(PORT)) $(call option,--limits,$(LIMITS))
TARGET = --parameter-overrides PythonRuntime=$(LAMBDA_PYTHON) Architecture=$(LAMBDA_ARCH)

# The first Python that really runs makes the environments: pyenv leaves names on PATH that only print an error.
define prepare
@for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
	if $$python -c '' >/dev/null 2>&1; then exec $$python local/bootstrap.py $(1); fi; \
done; \
echo 'agentsocket: No Python is installed here: install Python 3.11 or newer and run make again.' >&2; exit 1
endef

.DEFAULT_GOAL := help

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

chat: setup ## Chat with the agent as USER (ada); JSON=1 prints raw frames, FILE=path sends that file
	@$(LOCAL) chat --user $(call quoted,$(USER)) $(if $(JSON),--json) $(call option,--file,$(FILE)) $(STACK_OPTIONS)

up: setup ## Run the whole stack until Ctrl-C; PORT=8080, LIMITS='{"…": 1}', PARAMETERS='{"Introspection": "all"}'
	@$(LOCAL) up $(STACK_OPTIONS) $(call option,--parameters,$(PARAMETERS))

token: setup ## Print an access token of USER for the stack that runs (on PORT); GROUPS=admin makes it privileged
	@$(LOCAL) token --user $(call quoted,$(USER)) $(call option,--groups,$(GROUPS)) $(call option,--port,$(PORT))

client: setup ## Register a service with the stack's auth service: ID=ops SCOPE=users:logout; prints its secret, once
	@$(LOCAL) client --id $(call quoted,$(ID)) --scope $(call quoted,$(SCOPE)) $(call option,--port,$(PORT))

erase-user: setup ## Remove all that the running stack (on PORT) keeps of USER (ada): here and in its auth service
	@$(LOCAL) erase-user --user $(call quoted,$(USER)) $(call option,--port,$(PORT))

invoke: setup ## Send EVENT=events/….json to FUNCTION=authorizer|… in Lambda's own container (needs Docker)
	@$(LOCAL) invoke --function $(call quoted,$(FUNCTION)) --event $(call quoted,$(EVENT))

test: setup ## Run every test that needs Python alone, in three processes per two cores
	@$(PYTHON) -m pytest -m 'not docker' --numprocesses auto --dist loadgroup --no-loadscope-reorder

test-docker: setup ## Run the tests that need Docker
	@docker info >/dev/null 2>&1 || \
		{ echo 'agentsocket: make test-docker needs Docker: install Docker Engine, start it, and try again.' >&2; exit 1; }
	@$(PYTHON) -m pytest -m docker

lint: setup ## Check style and types, and print the size of the code
	@$(PYTHON) -m ruff check
	@$(PYTHON) -m ruff format --check
	@$(PYTHON) -m mypy
	@$(PYTHON) -m tests.support.size_budget

simulate: setup ## Play N=1000 seeds of a simulated deployment from SEED=0 on; N=1 prints one; MUTANTS=1 plants faults
	@$(PYTHON) -m tests.simulation $(call option,--seeds,$(N)) $(call option,--first,$(SEED)) $(if $(MUTANTS),--mutants)

bench: setup ## Measure the figures of docs/benchmarks.md, on a stack of its own
	@$(PYTHON) -m benchmarks

deploy: setup ## Build for LAMBDA_PYTHON (python3.13) on LAMBDA_ARCH (arm64), and deploy to AWS; asks before it acts
	@$(SAM) build $(TARGET)
	@$(SAM) deploy --guided $(TARGET)

setup: ## Create or update .venv and .tools (every command does it)
	$(call prepare,dev tools)

lock: setup ## Pin the newest versions that fit: constraints.txt, constraints-tools.txt
	@.venv/bin/uv export --quiet --no-hashes --no-header --no-annotate --no-emit-project --all-extras --upgrade \
		--output-file constraints.txt; status=$$?; rm -f uv.lock; exit $$status
	@printf '%s\n' ministack==1.5.33 aws-sam-cli==1.167.0 uv | .venv/bin/uv pip compile --quiet --universal \
		--python-version 3.11 --no-header --no-annotate --upgrade --output-file constraints-tools.txt -

schema: setup ## Write clients/protocol.schema.json and clients/openapi.json from the code
	@$(PYTHON) -c 'import sys; from agentsocket.protocol import schema; sys.stdout.buffer.write(schema.publish())' \
		>clients/protocol.schema.json
	@$(PYTHON) -c 'import sys; from agentsocket.http_api import openapi; sys.stdout.buffer.write(openapi.publish())' \
		>clients/openapi.json

limits: setup ## Write the tables of docs/limits.md from both limits.py
	@$(PYTHON) -m local.limits_table

clean: ## Remove everything that was made here: environments, state, builds, caches
	@rm -rf .venv .tools .local .aws-sam .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help chat up token client erase-user invoke test test-docker lint simulate bench deploy setup lock schema limits clean
