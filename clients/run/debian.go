package main

// kcat is a package of Debian, with the librdkafka of its time.
func kcat(w *workshop) error { return w.apt("kcat", "kcat") }
