package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// configFileBytesMax bounds what is read of a config file.
const configFileBytesMax = 1 << 20

// applyConfigFile gives the flags that a YAML file names, by the flags' names, the values
// that it has, but for those that were set on the command line. The file is one mapping
// of names to a value or a list of values. Errors name the file and the line.
func applyConfigFile(file string, flags *pflag.FlagSet) error {
	entries, err := readConfigFile(file)
	if err != nil {
		return err
	}
	seen := make(map[string]int)
	for i := 0; i+1 < len(entries); i += 2 {
		key, value := entries[i], entries[i+1]
		problem := func(format string, args ...any) error {
			return usagef("%s:%d: %s: %s", file, key.Line, key.Value, fmt.Sprintf(format, args...))
		}
		flag := flags.Lookup(key.Value)
		if key.Kind != yaml.ScalarNode || flag == nil || flag.Name == "config" || flag.Name == "help" {
			return problem("there is no such setting; the settings are the flags without their dashes")
		}
		if line, twice := seen[key.Value]; twice {
			return problem("is set in line %d already", line)
		}
		seen[key.Value] = key.Line
		if flag.Changed {
			continue
		}
		if err := setFlag(flag, value); err != nil {
			return problem("%v", err)
		}
	}
	return nil
}

// readConfigFile returns the keys and values of the file's mapping in turn.
func readConfigFile(file string) ([]*yaml.Node, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("the config file: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, configFileBytesMax+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("the config file: %w", err)
	}
	if len(text) > configFileBytesMax {
		return nil, usagef("the config file %s is larger than %s", file, formatBytes(configFileBytesMax))
	}
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(text))
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil // it is empty
	case err != nil:
		return nil, usagef("%s: %w", file, err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, usagef("%s has more than one YAML document", file)
	}
	m := doc.Content[0]
	if m.Kind == yaml.ScalarNode && m.Tag == "!!null" {
		return nil, nil
	}
	if m.Kind != yaml.MappingNode {
		return nil, usagef("%s:%d: must be lines of the form \"name: value\"", file, m.Line)
	}
	return m.Content, nil
}

// setFlag gives a flag the value of a scalar or of a list of scalars.
func setFlag(flag *pflag.Flag, value *yaml.Node) error {
	scalar := func(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag != "!!null" }
	if list, ok := flag.Value.(pflag.SliceValue); ok && value.Kind == yaml.SequenceNode {
		var values []string
		for _, item := range value.Content {
			if !scalar(item) {
				return errors.New("must be a list of plain values")
			}
			values = append(values, item.Value)
		}
		return list.Replace(values)
	}
	if !scalar(value) {
		return fmt.Errorf("must be a value (%s)", flag.Value.Type())
	}
	return flag.Value.Set(value.Value)
}
