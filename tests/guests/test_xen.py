"""Debian's Xen with Debian's kernel as its dom0, on the bare machine: a Type 1 hypervisor that nobody changed, to dom0's last words."""

import re

import pytest

from tests.guests.debian_packages import field, package_files, static_busybox
from vmdbg.bench.initramfs import busybox_initramfs
from vmdbg.debugger.opening import open_bare
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load import load_guest

pytestmark = pytest.mark.debian
LIMIT = 30_000_000_000
INIT = """#!/bin/sh
mount -t proc proc /proc
grep -c 'xen-percpu.*timer' /proc/interrupts
echo 6 by 7 is $((6 * 7))
poweroff -f
"""


def test_dom0_runs_and_powers_off(tmp_path):
    """Xen starts, its dom0 (paravirtual: hypercalls, event channels) runs a program of ours, and its S5 ends the machine."""
    xen = package_files("xen-hypervisor-4.17-amd64") / "boot/xen-4.17-amd64.gz"
    newest = re.search(r"linux-image-\S+-amd64", field("linux-image-amd64", "Depends"))
    assert newest is not None
    kernel = next((package_files(newest[0]) / "boot").glob("vmlinuz-*"))
    initrd = tmp_path / "initrd"
    initrd.write_bytes(busybox_initramfs(static_busybox(), INIT))
    options = Options(memory=640 << 20, append="console=com1", modules=(f"{kernel} console=hvc0", str(initrd)))
    session = open_bare(load_guest(xen, options))
    stop = session.run(LIMIT)
    said = session.monitor.log.decode(errors="replace")
    assert stop.exit_code == 0, f"{stop.text}\n{said[-3000:]}"
    assert "Xen version 4.17" in said and "6 by 7 is 42" in said and re.search(r"^1\s*$", said, re.M), said[-3000:]
