"""A guard around sockets: whatever runs under it reaches this machine only."""

import ipaddress
import socket


class OutsideCallError(OSError):
    """What a call that would leave the machine meets, in place of the network."""


def forbid_outside_calls(seen, set_attribute=setattr):
    """Make every look-up of and connection to another machine fail, and tell `seen` its host.

    Args:
        set_attribute: puts the guards in place; `monkeypatch.setattr` takes them away again.
    """

    def check(host):
        name = host.decode() if isinstance(host, bytes) else host
        if name is not None and not _is_loopback(str(name)):
            seen(str(name))
            raise OutsideCallError(f"Tests reach this machine only, not {name}.")

    def guard_lookup(function):
        def guarded(host, *args, **kwargs):
            check(host)
            return function(host, *args, **kwargs)

        return guarded

    def guard_connection(function):
        def guarded(sock, *args):
            if sock.family in (socket.AF_INET, socket.AF_INET6):
                check(args[-1][0])  # the address comes last, also in sendto(data, flags, address)
            return function(sock, *args)

        return guarded

    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
        set_attribute(socket, name, guard_lookup(getattr(socket, name)))
    for name in ("connect", "connect_ex", "sendto"):
        set_attribute(socket.socket, name, guard_connection(getattr(socket.socket, name)))


def _is_loopback(host):
    if host in ("", "localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
