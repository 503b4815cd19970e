"""Networks in the directories of Hugging Face's libraries: the one place that imports these."""
