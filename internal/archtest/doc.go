// Package archtest keeps the import arrows of the module: packages import
// downwards only, and each heavy dependency has one package that knows it.
//
// It has no code but its test, which reads go list. The tables of the rules
// stand in rules_test.go; a package that is in no table fails the test, so that
// its place is decided when it is made and not when it is tangled.
//
// The arrows are what lets a layer be tested and replaced alone, and Pebble
// and dragonboat be updated by changing one package each. A package that needs
// something from above declares a small interface and is given it.
package archtest
