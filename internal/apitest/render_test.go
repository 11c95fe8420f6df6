package apitest

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/doc"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// render returns the listing of the module's public packages below dir.
func render(dir, module string) (string, error) {
	dirs, err := publicDirs(dir)
	if err != nil {
		return "", err
	}
	r := renderer{dir: dir, module: module, fset: token.NewFileSet()}
	for _, sub := range dirs {
		if err := r.pkg(path.Join(module, sub)); err != nil {
			return "", err
		}
	}
	return strings.TrimSuffix(r.out.String(), "\n"), nil
}

// publicDirs returns the directories below dir, relative and with slashes, that
// hold a package which others may import.
func publicDirs(dir string) ([]string, error) {
	var dirs []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // another test's, gone meanwhile
			return nil
		}
		if err != nil || !d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		if rel != "." {
			name := d.Name()
			if slices.Contains([]string{"internal", "testdata", "cmd", "examples"}, name) || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
				return fs.SkipDir
			}
			if _, err := os.Stat(filepath.Join(p, "go.mod")); err == nil { // another module
				return fs.SkipDir
			}
		}
		b, err := build.ImportDir(p, 0)
		var none *build.NoGoError
		switch {
		case errors.As(err, &none):
			return nil
		case err != nil:
			return err
		}
		if b.Name != "main" && len(b.GoFiles)+len(b.CgoFiles) > 0 {
			dirs = append(dirs, filepath.ToSlash(rel))
		}
		return nil
	})
	return dirs, err
}

type renderer struct {
	dir, module string
	fset        *token.FileSet
	out         bytes.Buffer
}

// load returns the exported declarations of the package at importPath, which
// is the module's, and what its files import under which name.
func (r *renderer) load(importPath string) (*doc.Package, map[string]string, error) {
	dir := filepath.Join(r.dir, filepath.FromSlash(strings.TrimPrefix(importPath, r.module)))
	b, err := build.ImportDir(dir, 0)
	if err != nil {
		return nil, nil, err
	}
	var files []*ast.File
	imports := make(map[string]string)
	for _, name := range slices.Concat(b.GoFiles, b.CgoFiles) {
		f, err := parser.ParseFile(r.fset, filepath.Join(dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, nil, err
		}
		for _, spec := range f.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return nil, nil, err
			}
			local := path.Base(imported)
			if spec.Name != nil {
				local = spec.Name.Name
			}
			imports[local] = imported
		}
		files = append(files, f)
	}
	p, err := doc.NewFromFiles(r.fset, files, importPath)
	return p, imports, err
}

// pkg writes one package: constants, variables, functions and types, each kind
// in the order go doc has.
func (r *renderer) pkg(importPath string) error {
	p, imports, err := r.load(importPath)
	if err != nil {
		return err
	}
	fmt.Fprintf(&r.out, "package %s // import %q\n\n", p.Name, importPath)
	if err := r.values(p.Consts, p.Vars); err != nil {
		return err
	}
	if err := r.funcs(p.Funcs); err != nil {
		return err
	}
	for _, t := range p.Types {
		if err := r.typ(t); err != nil {
			return err
		}
		if err := r.internalTarget(t, imports); err != nil {
			return err
		}
		r.out.WriteString("\n")
	}
	return nil
}

func (r *renderer) values(groups ...[]*doc.Value) error {
	for _, v := range slices.Concat(groups...) {
		if err := r.decl(v.Decl, ""); err != nil {
			return err
		}
		r.out.WriteString("\n")
	}
	return nil
}

func (r *renderer) funcs(funcs []*doc.Func) error {
	for _, f := range funcs {
		if err := r.decl(f.Decl, ""); err != nil {
			return err
		}
		r.out.WriteString("\n")
	}
	return nil
}

// typ writes t and below it, indented, what belongs to it.
func (r *renderer) typ(t *doc.Type) error {
	if err := r.decl(t.Decl, ""); err != nil {
		return err
	}
	for _, v := range slices.Concat(t.Consts, t.Vars) {
		if err := r.decl(v.Decl, "\t"); err != nil {
			return err
		}
	}
	for _, f := range slices.Concat(t.Funcs, t.Methods) {
		if err := r.decl(f.Decl, "\t"); err != nil {
			return err
		}
	}
	return nil
}

// internalTarget writes, indented, the type that t is an alias of when that is
// one of the module's internal packages.
func (r *renderer) internalTarget(t *doc.Type, imports map[string]string) error {
	spec, ok := t.Decl.Specs[0].(*ast.TypeSpec)
	if !ok || !spec.Assign.IsValid() {
		return nil
	}
	sel, ok := spec.Type.(*ast.SelectorExpr)
	if !ok {
		return nil
	}
	qualifier, ok := sel.X.(*ast.Ident)
	if !ok || !strings.HasPrefix(imports[qualifier.Name], r.module+"/internal/") {
		return nil
	}
	importPath := imports[qualifier.Name]
	p, _, err := r.load(importPath)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(p.Types, func(t *doc.Type) bool { return t.Name == sel.Sel.Name })
	if i < 0 {
		return fmt.Errorf("%s is an alias of %s.%s, which %s does not declare", t.Name, qualifier.Name, sel.Sel.Name, importPath)
	}
	inner := renderer{dir: r.dir, module: r.module, fset: r.fset}
	if err := inner.typ(p.Types[i]); err != nil {
		return err
	}
	fmt.Fprintf(&r.out, "\t// of %s\n%s", importPath, indent(inner.out.String(), "\t"))
	return nil
}

// decl writes a declaration without its comments and, for a function, its body.
// Package doc has already taken out what is not exported.
func (r *renderer) decl(d ast.Decl, prefix string) error {
	switch d := d.(type) {
	case *ast.FuncDecl:
		f := *d
		f.Doc, f.Body = nil, nil
		return r.print(&f, prefix)
	case *ast.GenDecl:
		ast.Inspect(d, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GenDecl:
				n.Doc = nil
			case *ast.Field:
				n.Doc, n.Comment = nil, nil
			case *ast.ValueSpec:
				n.Doc, n.Comment = nil, nil
			case *ast.TypeSpec:
				n.Doc, n.Comment = nil, nil
			}
			return true
		})
	}
	return r.print(d, prefix)
}

func (r *renderer) print(node ast.Node, prefix string) error {
	var b bytes.Buffer
	config := printer.Config{Mode: printer.UseSpaces | printer.TabIndent, Tabwidth: 8}
	if err := config.Fprint(&b, r.fset, node); err != nil {
		return err
	}
	r.out.WriteString(indent(b.String()+"\n", prefix))
	return nil
}

// indent puts prefix before every line that is not empty, and leaves the empty
// ones out: the printer keeps the blank lines that comments leave.
func indent(text, prefix string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" {
			b.WriteString(prefix + line)
		}
	}
	return b.String()
}
