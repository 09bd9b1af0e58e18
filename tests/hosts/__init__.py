"""The roles on a host that is not the controller: Debian with systemd as PID 1, in a container."""
