"""A Jupyter server for each person of the class: JupyterHub's configuration, accounts of the host, shared folders."""
