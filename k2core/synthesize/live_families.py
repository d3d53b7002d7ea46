"""All servers that agents really call, by name."""

from k2core.synthesize.live import LIVE_FAMILIES, LiveFamily
from k2core.synthesize.live_files import FILE_FAMILIES
from k2core.synthesize.live_installed import NODE_FAMILIES, InstalledFamily
from k2core.synthesize.live_office import OFFICE_FAMILIES

INSTALLED_FAMILIES: tuple[InstalledFamily, ...] = (
    *NODE_FAMILIES,
    *FILE_FAMILIES,
    *OFFICE_FAMILIES,
)
"""Those that come by `k2 tools harvest`."""
FAMILIES: dict[str, LiveFamily] = {
    family.server: family for family in (*LIVE_FAMILIES, *INSTALLED_FAMILIES)
}
