//! The derive macro of lumigrad's `Module` trait.

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Field, Fields, Index, parse_macro_input};

/// Implements `lumigrad::nn::Module` by visiting every field under its name.
///
/// Every field must be a `Module` itself (a layer, a `Parameter`, a `Buffer`, an `Option`, `Vec`, array or tuple of such),
/// or be marked `#[module(skip)]`: a layer can't be forgotten and silently stay untrained.
#[proc_macro_derive(Module, attributes(module))]
pub fn derive_module(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(Error::into_compile_error).into()
}

fn expand(input: &DeriveInput) -> syn::Result<Tokens> {
    let body = match &input.data {
        Data::Struct(data) => {
            let visits = visits(&data.fields, |field, index| {
                let member = member(field, index);
                quote!(&self.#member)
            })?;
            quote!(#(#visits)*)
        }
        Data::Enum(data) => {
            let arms = data.variants.iter().map(arm).collect::<syn::Result<Vec<_>>>()?;
            quote!(match self { #(#arms)* })
        }
        Data::Union(data) => {
            return Err(Error::new(
                data.union_token.span,
                "Module can be derived for structs and enums, not for unions",
            ));
        }
    };
    let name = &input.ident;
    let mut generics = input.generics.clone();
    if generics.type_params().next().is_some() {
        let types: Vec<_> = parts(&input.data)?.into_iter().map(|f| f.ty.clone()).collect();
        let clause = generics.make_where_clause();
        for ty in types {
            clause.predicates.push(syn::parse_quote!(#ty: ::lumigrad::nn::Module));
        }
    }
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::lumigrad::nn::Module for #name #type_generics #where_clause {
            fn visit(&self, visitor: &mut ::lumigrad::nn::Visitor<'_>) {
                #body
            }
        }
    })
}

/// One arm of the match over an enum's variants.
fn arm(variant: &syn::Variant) -> syn::Result<Tokens> {
    let name = &variant.ident;
    let bound = |index: usize| format_ident!("field{index}");
    let visits = visits(&variant.fields, |_, index| {
        let bound = bound(index);
        quote!(#bound)
    })?;
    let mut patterns = Vec::new();
    for (index, field) in variant.fields.iter().enumerate() {
        let member = member(field, index);
        if !is_skipped(field)? {
            let bound = bound(index);
            patterns.push(quote!(#member: #bound));
        }
    }
    Ok(quote!(Self::#name { #(#patterns,)* .. } => { #(#visits)* }))
}

/// The fields that are not skipped.
fn parts(data: &Data) -> syn::Result<Vec<&Field>> {
    let fields: Vec<&Field> = match data {
        Data::Struct(data) => data.fields.iter().collect(),
        Data::Enum(data) => data.variants.iter().flat_map(|v| v.fields.iter()).collect(),
        Data::Union(_) => Vec::new(),
    };
    let mut parts = Vec::new();
    for field in fields {
        if !is_skipped(field)? {
            parts.push(field);
        }
    }
    Ok(parts)
}

/// A statement for each field that is not skipped; `access` gives a reference to it.
fn visits(fields: &Fields, access: impl Fn(&Field, usize) -> Tokens) -> syn::Result<Vec<Tokens>> {
    let mut statements = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        if is_skipped(field)? {
            continue;
        }
        let name = field.ident.as_ref().map_or_else(|| index.to_string(), unraw);
        let reference = access(field, index);
        // The span of the type makes the compiler point at a field that is no module.
        statements.push(quote_spanned!(field.ty.span()=> visitor.child(#name, #reference);));
    }
    Ok(statements)
}

fn member(field: &Field, index: usize) -> Tokens {
    match &field.ident {
        Some(name) => quote!(#name),
        None => {
            let index = Index::from(index);
            quote!(#index)
        }
    }
}

fn unraw(name: &syn::Ident) -> String {
    let text = name.to_string();
    text.strip_prefix("r#").unwrap_or(&text).to_string()
}

fn is_skipped(field: &Field) -> syn::Result<bool> {
    let mut skipped = false;
    for attribute in field.attrs.iter().filter(|a| a.path().is_ident("module")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("skip") {
                skipped = true;
                Ok(())
            } else {
                Err(meta.error("the only option is `skip`, for a field that holds nothing to train or save"))
            }
        })?;
    }
    Ok(skipped)
}
