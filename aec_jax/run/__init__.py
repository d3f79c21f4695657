"""How a run behaves on its machine: its folder, cache, hosts, screen, end."""
