"""Asks other implementations about what this crate has made: python-tuf about metadata, securesystemslib about DSSE.

Ends with 0 if they accept it, 3 if they refuse it (the reason is on stderr), 9 if they are not installed.
It must not import anything of ours.
"""

import json
import sys
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlparse

try:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import SSlibKey
    from tuf.api.exceptions import DownloadError, DownloadHTTPError, RepositoryError
    from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig
except ImportError as error:
    print(error, file=sys.stderr)
    sys.exit(9)


class Files(FetcherInterface):
    """Reads file: addresses; a missing file is what a missing page is."""

    def _fetch(self, url):
        path = Path(unquote(urlparse(url).path))
        if not path.exists():
            raise DownloadHTTPError(f"no {path.name}", 404)
        yield path.read_bytes()


def tuf(repository, root, *names):
    """Updates from `root` to the newest metadata, and downloads the targets."""
    repository = Path(repository).absolute()
    with tempfile.TemporaryDirectory() as state, tempfile.TemporaryDirectory() as out:
        updater = Updater(
            state,
            (repository / "metadata").as_uri(),
            out,
            (repository / "targets").as_uri(),
            Files(),
            UpdaterConfig(prefix_targets_with_hash=False),
            bootstrap=Path(root).read_bytes(),
        )
        updater.refresh()
        for name in names:
            info = updater.get_targetinfo(name)
            if info is None:
                raise RepositoryError(f"no target {name}")
            updater.download_target(info)


def dsse(envelope, pem, key_id):
    """Verifies an envelope with one P-256 key."""
    crypto_key = load_pem_public_key(Path(pem).read_bytes())
    key = SSlibKey.from_crypto(crypto_key, keyid=key_id)
    Envelope.from_dict(json.loads(Path(envelope).read_text())).verify([key], 1)


try:
    {"tuf": tuf, "dsse": dsse}[sys.argv[1]](*sys.argv[2:])
except (DownloadError, RepositoryError, VerificationError) as error:
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(3)
