package leat

import (
	"errors"
	"fmt"
)

// ErrInvalidName is what every *InvalidNameError is, for errors.Is.
var ErrInvalidName = errors.New("leat: invalid name")

// InvalidNameError says which name was refused and by which rule. It is
// ErrInvalidName for errors.Is.
type InvalidNameError struct {
	// Kind is what was to be named: "topic" or "group".
	Kind string
	// Name is the refused name, whole.
	Name string
	// Rule is the rule that it breaks.
	Rule string
}

// Error tells the kind, the name (cut when long) and the rule.
func (e *InvalidNameError) Error() string {
	return fmt.Sprintf("%v: %s %s: %s", ErrInvalidName, e.Kind, quoteShort(e.Name), e.Rule)
}

// Is reports true for ErrInvalidName.
func (e *InvalidNameError) Is(target error) bool { return target == ErrInvalidName }
