package main

import (
	"errors"
)

// hintOf returns what can be done about an error, "" if nothing is known.
func hintOf(err error) string {
	var h *hintError
	if errors.As(err, &h) {
		return h.hint
	}
	return ""
}
