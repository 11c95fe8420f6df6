package leat

import (
	"slices"
	"strconv"
	"strings"
)

// enumDefault is the name of an enumeration's zero value.
const enumDefault = "default"

// enumString returns the name of v, or its number when it has none.
func enumString[E ~uint8](names []string, v E) string {
	if int(v) < len(names) {
		return names[v]
	}
	return strconv.Itoa(int(v))
}

func enumMarshal[E ~uint8](property string, names []string, v E) ([]byte, error) {
	if int(v) >= len(names) {
		return nil, &ConfigError{Property: property, Value: enumString(names, v), Rule: enumRule(names)}
	}
	return []byte(names[v]), nil
}

func enumUnmarshal[E ~uint8](property string, names []string, v *E, text []byte) error {
	i := slices.Index(names, string(text))
	if i < 0 {
		return &ConfigError{Property: property, Value: string(text), Rule: enumRule(names)}
	}
	*v = E(i)
	return nil
}

// enumRule names every value but the zero value.
func enumRule(names []string) string { return "must be one of " + strings.Join(names[1:], ", ") }
