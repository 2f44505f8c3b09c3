"""The Wi-Fi HaLow link: samples, grades, radios. Knows nothing of meters; useful on its own."""
