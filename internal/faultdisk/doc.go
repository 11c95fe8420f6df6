// Package faultdisk is a disk in memory, for tests: it loses what was not synced
// when its machine loses power, fills up, fails, hangs, and flips bits.
//
//	d := faultdisk.New(seed)
//	... // a program works on d.FS()
//	d.Crash(0) // the power is gone, with all that was not synced
//	... // the program starts anew on d.FS()
//
// An FS is good for one life of its program. What is left in the test's process
// of a program that crashed may go on with its FS: it writes to where nobody
// looks.
package faultdisk
