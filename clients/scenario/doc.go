// Package scenario is what the programs of the Go clients share: the scenarios that every
// Kafka client goes through against a running node, and how they are reported.
//
// A program implements Client with its library and calls Main. The environment tells it
// what to do (see Env); on its standard output it says how each scenario ended, in lines
// that begin with "@ ":
//
//	@ version v1.61.1                    of the library
//	@ start gzip                         a scenario begins
//	@ ok gzip 31 note                    it held, after 31 ms
//	@ fail gzip 31 reason
//	@ na gzip reason                     the library has no such feature
//	@ progress 250                       records that failover has acknowledged
//
// Everything else that it prints is for people. Programs in other languages follow the
// same rules with the same records.
package scenario
