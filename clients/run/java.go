package main

import "path/filepath"

// jvm keeps the processes small and quick to start.
var jvm = []string{"java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:CICompilerCount=1"}

// maven runs goals of the project in a directory, with the jars that they fetch in the
// cache. A source that has changed needs no network.
func (w *workshop) maven(dir string, goals ...string) error {
	if err := w.apt("mvn", "maven", "default-jdk-headless"); err != nil {
		return err
	}
	args := []string{"mvn", "-B", "-ntp", "-q", "-Dmaven.repo.local=" + w.cached("m2"), "-DincludeScope=runtime", "-DoutputDirectory=" + w.cached(dir, "lib")}
	return w.do(w.path(dir), append(args, goals...)...)
}

func javaProgram(w *workshop) error {
	return w.once("java", []string{w.path("java")}, func() error {
		return w.maven("java", "compile", "dependency:copy-dependencies")
	})
}

func java(w *workshop) []string {
	path := w.cached("java", "classes") + string(filepath.ListSeparator) + filepath.Join(w.cached("java", "lib"), "*")
	return append(append([]string{}, jvm...), "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", path, "Main")
}

func consoleTools(w *workshop) error {
	return w.once("tools", []string{w.path("tools", "pom.xml")}, func() error {
		return w.maven("tools", "dependency:copy-dependencies")
	})
}

func script(path ...string) func(*workshop) []string {
	return func(w *workshop) []string { return []string{"bash", w.path(path...)} }
}
