// Package wire checks the bytes of a message of Kafka's protocol before package
// kmsg decodes them.
//
// A decoder that trusts its input allocates what an array's count says and loops
// as often as a count of tagged fields says: a few bytes make it take gigabytes or
// spin. A [Layout] is the shape of one API's messages in all versions. Its Check
// walks the bytes and refuses what promises more than is there, and more than the
// caller has memory for. It allocates nothing but its error.
//
// # Notation
//
// A Layout is parsed from a line of text, field by field in the order of the wire:
//
//	i8 i16 i32 i64 bool uuid   fixed sizes
//	str bytes                  with a length, nullable or not
//	*T                         an array of a plain type
//	[ fields ]                 an array of structs
//	{ fields }                 a struct
//	?{ fields }                a struct that may be null
//	< N fields >               at a struct's end: the tagged field N, a struct
//	( N field )                at a struct's end: the tagged field N, not a struct
//	:3+ :1-4 :-2               behind a field: the versions that have it
//
// Tagged fields that are not named are skipped by their length.
//
// Layouts are immutable; all methods may be called concurrently.
package wire
