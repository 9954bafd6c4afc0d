"""Label noise: functions that make labels wrong, and files of noisy labels."""
