// Package doctest checks the module's Markdown: a link to a file of the
// repository leads to one, and a link to a heading to a heading.
//
// It has no code but its test. Links out of the repository are not followed, so
// that the test needs no network.
package doctest
