// Package apitest keeps docs/api.txt: the exported API of the module's public
// packages as text, so that no change of it goes unseen in a review.
//
// It has no code but its test. When the change is meant, rewrite the listing
// and commit it with the change:
//
//	make api
//
// Public is every package that is neither a command, nor an example, nor
// internal; a new one is listed without being named here. Where an exported
// name is an alias of an internal type, the listing has that type and its
// methods too, since users call them.
package apitest
