"""Makes a page that tags sounds in a browser, by an ONNX export.

  python -m aec_jax.export --bundle=DIR/bundle --format=onnx --out=OUT
  python -m launch.onnx_page OUT
  python -m http.server --directory OUT

Puts index.html into OUT, and beside it ort/, onnxruntime's build for browsers,
which npm fetches and checks. The folder can then be served from anywhere: the
page fetches nothing from elsewhere, and sounds stay in the browser.
"""

import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from aec_jax.errors import UserError
from aec_jax.run import console, files

PAGE = Path(__file__).with_suffix('.html')
_RUNTIME = 'onnxruntime-web@1.30.0'
_FILES = (
  'ort.wasm.min.mjs', 'ort-wasm-simd-threaded.mjs',
  'ort-wasm-simd-threaded.wasm',
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
  parser = console.Parser(__doc__)
  parser.add_argument('out', help='Of aec_jax.export --format=onnx.')
  out = Path(parser.parse_args(argv).out)
  if not (out / 'export.json').exists() or not list(out.glob('*.onnx')):
    raise UserError(
      f'{out} is no ONNX export: make one with python -m aec_jax.export'
      ' --format=onnx'
    )
  if not (out / 'ort').exists():
    fetch_runtime(out / 'ort')
  shutil.copyfile(PAGE, out / 'index.html')
  print(f'python -m http.server --directory {out}  # serves the page')
  return 0


def fetch_runtime(folder: Path) -> None:
  """Makes a folder of what a browser needs of onnxruntime-web.

  Raises:
    UserError: npm is missing, or cannot fetch it.
  """
  with tempfile.TemporaryDirectory() as temporary:
    command = ['npm', 'pack', '--silent', '--pack-destination', temporary]
    try:
      subprocess.run(
        [*command, _RUNTIME], check=True, capture_output=True, text=True
      )
    except FileNotFoundError as error:
      raise UserError(
        'npm, which fetches onnxruntime-web, is missing'
      ) from error
    except subprocess.CalledProcessError as error:
      lines = (error.stderr or error.stdout).strip().splitlines()
      reason = lines[0] if lines else f'exit status {error.returncode}'
      raise UserError(f'npm cannot fetch {_RUNTIME}: {reason}') from error
    (archive,) = Path(temporary).glob('*.tgz')
    with tarfile.open(archive) as tar, files.whole_folder(folder) as new:
      for name in _FILES:
        member = tar.extractfile(f'package/dist/{name}')
        assert member, name
        (new / name).write_bytes(member.read())


if __name__ == '__main__':
  sys.exit(console.run_command(main))
