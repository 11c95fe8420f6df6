// Package procs runs parts of a test in processes of their own, which can be
// killed and stopped as no goroutine can.
//
// A child is the test's own binary, started again. TestMain says what children
// there are:
//
//	func TestMain(m *testing.M) {
//		procs.Main(map[string]func(*procs.Child) error{"node": runNode}) // a child ends here
//		goleak.VerifyTestMain(m)
//	}
//
// The child says a line when it is ready and others as it goes; the test reads
// them, writes lines to it, and kills, stops and resumes it:
//
//	p := procs.Start(t, "node", "1", dir)
//	ready, err := p.Line(ctx)
//	p.Kill()
//
// A child ends by itself when its standard input does, and so with the test's
// process, however that ends. Every child is killed and waited for when its test
// is over.
package procs
