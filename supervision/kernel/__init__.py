"""What the Linux kernel offers: signals, descriptors, /proc, locks, memory."""
