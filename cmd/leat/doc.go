// Command leat is leat's command line: it serves a Log to Kafka's clients, and does over
// Kafka's protocol what people do with Kafka's scripts, against leat and any other Kafka.
//
// One file holds one command. Each runs on an [app], which has the streams and the flags
// that all of them share, so that tests run the commands as they are. What goes to
// stdout is the answer, as text for people or, with --json, in the shapes that
// docs/cli.md tells; all else goes to stderr. The exit status is 0, 1 when a command
// failed, or 2 when it was called in a wrong way and did nothing.
package main
