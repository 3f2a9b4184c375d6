"""The runner API: another Pointsman's workers use targets of this one."""
