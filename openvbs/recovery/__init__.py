"""What can be done with a store and its root key alone: find and restore backups, make records anew, change keys."""
