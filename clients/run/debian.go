package main

// kcat is a package of Debian, with the librdkafka of its time.
func kcat(w *workshop) error { return w.apt("kcat", "kcat") }

// phpWithLibrdkafka are PHP, whose FFI stands in for the extension that Debian lacks,
// and the library that it loads.
func phpWithLibrdkafka(w *workshop) error {
	if err := w.apt("php", "php-cli"); err != nil {
		return err
	}
	if err := w.do(w.dir, "php", "-d", "ffi.enable=1", "-r", `FFI::cdef("", "librdkafka.so.1");`); err == nil {
		return nil
	}
	return w.apt("librdkafka.so.1", "librdkafka1") // no command's name, and so missing
}

func php(w *workshop) []string {
	return []string{"php", "-d", "ffi.enable=1", w.path("php", "main.php")}
}
