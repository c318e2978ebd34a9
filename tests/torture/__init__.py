"""What has to hold under kills, full disks and hostile files, tried many times: `make torture`."""
