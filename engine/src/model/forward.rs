//! The forward pass: ids at positions to logits, one readable sequence of operations.
//!
//! The order of operations is the reference's (`build_bitnet_158`, `build_llama` and their kin), and
//! so are the names of tensors. Where architectures differ, [`Graph`](super::Graph) and the tensors
//! that the file has decide. Nothing is sampled here.

use std::sync::atomic::{AtomicBool, Ordering};

use super::activations::FormRows;
use super::cache::KvCache;
use super::graph::Activation;
use super::layers::{Layer, Linear};
use super::linear::{self, Product};
use super::loading::Model;
use super::rope::RopeTable;
use super::screen::{HeadScreen, Screening};
use super::weights::Matrix;
use super::workspace::Workspace;
use crate::kernels::Dispatch;
use crate::threads::{Chunks, ThreadPool, Tiles};

/// Which positions' logits are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogitsOf {
    /// Every position that is fed.
    All,
    /// The last position only.
    Last,
    /// None: the cache is filled.
    Nothing,
}

/// One intermediate tensor of a chunk of positions.
#[derive(Debug, Clone, Copy)]
pub struct Tensor<'a> {
    /// Name in the reference's graph, without the layer: `attn_norm`, `l_out`.
    pub name: &'static str,
    /// Layer, where the tensor belongs to one.
    pub layer: Option<usize>,
    /// How many tensors of this name came before in the same layer.
    pub occurrence: usize,
    /// Values of one position.
    pub columns: usize,
    /// Rows of `columns` values, one a position.
    pub values: &'a [f32],
}

/// Receives intermediate tensors, chunk by chunk, in order of evaluation.
pub trait Tap {
    /// Looks at one tensor; copies it where it is wanted.
    fn tensor(&mut self, tensor: Tensor<'_>);
}

/// All that one chunk's computation touches.
pub(crate) struct Forward<'a> {
    pub(crate) model: &'a Model,
    pub(crate) rope: &'a mut RopeTable,
    pub(crate) cache: &'a mut KvCache,
    pub(crate) work: &'a mut Workspace,
    pub(crate) pool: &'a mut ThreadPool,
    pub(crate) tap: Option<&'a mut dyn Tap>,
    /// How many of the largest logits are wanted of one position, where not all are.
    pub(crate) top: Option<Top<'a>>,
}

/// What it takes to compute the largest logits without the others.
pub(crate) struct Top<'a> {
    pub(crate) count: usize,
    pub(crate) screen: &'a HeadScreen,
    pub(crate) work: &'a mut Screening,
}

impl Forward<'_> {
    /// Computes `ids` at positions `first..`; `ids` fit in one chunk and were checked. `logits`
    /// takes one row of the vocabulary's size for each position that `wanted` names.
    pub(crate) fn chunk(
        &mut self,
        ids: &[u32],
        first: usize,
        wanted: LogitsOf,
        logits: &mut [f32],
    ) {
        let model = self.model;
        let width = model.config().embedding_length;
        self.rope.reach(first + ids.len());
        for (id, row) in ids.iter().zip(self.work.x.chunks_exact_mut(width)) {
            model.weights.token_embd.row(*id as usize, row);
        }
        let size = ids.len() * width;
        self.report("inp_embd", None, 0, width, |work| &work.x[..size]);
        let skipped = match wanted {
            LogitsOf::All => 0,
            LogitsOf::Last => ids.len() - 1,
            LogitsOf::Nothing => ids.len(),
        };
        for (index, layer) in model.weights.layers.iter().enumerate() {
            // Behind the last layer's keys and values only the wanted rows matter, as in the
            // reference; a tap is shown all of them.
            let last = index + 1 == model.weights.layers.len();
            let unread = if last && self.tap.is_none() { skipped } else { 0 };
            let finite = self.queries_keys_values(layer, index, ids.len(), first);
            if unread == ids.len() {
                return;
            }
            self.work.x.copy_within(unread * width..size, 0);
            self.attend(index, unread..ids.len(), first, finite);
            self.attention_output(layer, index, ids.len() - unread);
            self.feed_forward_block(layer, index, ids.len() - unread);
        }
        let rows = ids.len() - skipped;
        if rows > 0 {
            if self.tap.is_some() {
                self.work.x.copy_within(skipped * width..size, 0);
            }
            self.head(rows, logits);
        }
    }

    /// Projects to queries, keys and values, turns the first two by RoPE and stores the last two.
    /// Says whether all stored values are finite.
    fn queries_keys_values(
        &mut self,
        layer: &Layer,
        index: usize,
        tokens: usize,
        first: usize,
    ) -> bool {
        let (config, at) = (self.model.config(), Some(index));
        let width = config.embedding_length;
        let (query, kv) = (config.query_length(), config.kv_length());
        let (size, queries, keys) = (tokens * width, tokens * query, tokens * kv);
        let matrices = [&layer.attn_q, &layer.attn_k, &layer.attn_v].map(|linear| &linear.matrix);
        self.norm_x(layer.attn_norm.get(), size, &matrices);
        self.report("attn_norm", at, 0, width, |work| &work.normed[..size]);
        linear::expect(self.pool, &[&layer.attn_output.matrix]);
        let work = &mut *self.work;
        let products = [
            Product::scaled(&layer.attn_q, &mut work.q),
            Product::scaled(&layer.attn_k, &mut work.k),
            Product::scaled(&layer.attn_v, &mut work.v),
        ];
        let (x, dispatch) = (&work.normed[..size], &mut work.dispatch);
        work.activations.multiply(self.pool, dispatch, &mut work.sums, x, products, None);
        self.report("Qcur", at, 0, query, |work| &work.q[..queries]);
        self.report("Kcur", at, 0, kv, |work| &work.k[..keys]);
        self.report("Vcur", at, 0, kv, |work| &work.v[..keys]);

        let work = &mut *self.work;
        add_bias(self.pool, &mut work.dispatch, &layer.attn_q, &mut work.q[..queries]);
        add_bias(self.pool, &mut work.dispatch, &layer.attn_k, &mut work.k[..keys]);
        add_bias(self.pool, &mut work.dispatch, &layer.attn_v, &mut work.v[..keys]);
        let biased = |linear: &Linear| usize::from(linear.bias.is_some());
        let again = [&layer.attn_q, &layer.attn_k, &layer.attn_v].map(biased);
        if again[0] > 0 {
            self.report("Qcur", at, 1, query, |work| &work.q[..queries]);
        }
        if again[1] > 0 {
            self.report("Kcur", at, 1, kv, |work| &work.k[..keys]);
        }
        if again[2] > 0 {
            self.report("Vcur", at, 1, kv, |work| &work.v[..keys]);
        }
        self.norm_heads(layer, index, tokens);
        let finite = self.rotate_and_store(index, tokens, first);
        self.report("Qcur", at, 1 + again[0], query, |work| &work.q[..queries]);
        self.report("Kcur", at, 1 + again[1], kv, |work| &work.k[..keys]);
        finite
    }

    /// Norms every query and key head, where the architecture does.
    fn norm_heads(&mut self, layer: &Layer, index: usize, tokens: usize) {
        let (config, at) = (self.model.config(), Some(index));
        let (query, kv) = (config.query_length(), config.kv_length());
        let work = &mut *self.work;
        for (weights, x, width) in [
            (&layer.attn_q_norm, &mut work.q[..tokens * query], query),
            (&layer.attn_k_norm, &mut work.k[..tokens * kv], kv),
        ] {
            let Some(weights) = weights else { continue };
            let (weights, eps) = (weights.get(), config.rms_epsilon);
            let rms_norm = work.dispatch.rms_norm();
            let unnormed = Chunks::new(&mut work.normed[..x.len()], width);
            let parts = (Chunks::new(x, width), unnormed);
            self.pool.for_each(parts, |_, _, (row, unnormed)| {
                unnormed.copy_from_slice(row);
                let heads = row.chunks_exact_mut(weights.len());
                for (head, unnormed) in heads.zip(unnormed.chunks_exact(weights.len())) {
                    rms_norm(unnormed, weights, eps, head);
                }
            });
        }
        if config.graph.qk_norms {
            self.report("Qcur_normed", at, 0, query, |work| &work.q[..tokens * query]);
            self.report("Kcur_normed", at, 0, kv, |work| &work.k[..tokens * kv]);
        }
    }

    /// Turns queries and keys by RoPE and stores keys and values: a KV head, with the query heads that share it, is
    /// one thread's. Says whether all stored values are finite.
    fn rotate_and_store(&mut self, layer: usize, tokens: usize, first: usize) -> bool {
        let config = self.model.config();
        let (query, kv, length) = (config.query_length(), config.kv_length(), config.head_length);
        let group = config.head_count / config.head_count_kv * length;
        let (rope, style, work) = (&*self.rope, config.graph.rope, &mut *self.work);
        let queries = Tiles::new(&mut work.q[..tokens * query], query, (tokens, group));
        let keys = Tiles::new(&mut work.k[..tokens * kv], kv, (tokens, length));
        let values = Tiles::new(&mut work.v[..tokens * kv], kv, (tokens, length));
        let finite = AtomicBool::new(true);
        let parts = ((queries, keys), (values, self.cache.heads(layer)));
        self.pool.for_each(parts, |_, _, (((_, mut q), (_, mut k)), ((_, mut v), mut room))| {
            room.expect_values(first);
            for token in 0..tokens {
                let position = first + token;
                for head in q.row(token).chunks_exact_mut(length) {
                    rope.rotate(head, position, style);
                }
                rope.rotate(k.row(token), position, style);
                room.store_key(position, k.row(token));
            }
            if !room.store_values(first, &mut v) {
                finite.store(false, Ordering::Relaxed);
            }
        });
        finite.into_inner()
    }

    /// From what attention gives to the residual stream.
    fn attention_output(&mut self, layer: &Layer, index: usize, tokens: usize) {
        let (config, at) = (self.model.config(), Some(index));
        let (names, width, query) =
            (config.graph.names, config.embedding_length, config.query_length());
        let (size, attended) = (tokens * width, tokens * query);
        self.report(names.attended, at, 0, query, |work| &work.attended[..attended]);
        let (work, matrix) = (&mut *self.work, &layer.attn_output.matrix);
        let normed = &mut work.normed[..attended];
        let rows = work.activations.rows_for(&mut work.dispatch, &[matrix], tokens);
        match &layer.attn_sub_norm {
            Some(weights) => {
                let (dispatch, x) = (&mut work.dispatch, &work.attended);
                norm(self.pool, dispatch, self.model, weights.get(), x, normed, rows);
                self.report("attn_sub_norm", at, 0, query, |work| &work.normed[..attended]);
            }
            None => {
                let x = &work.attended[..attended];
                self.pool.for_each(rows, |_, token, row| row.fill(&x[token * query..][..query]));
            }
        }
        linear::expect(self.pool, &[&layer.ffn_gate.matrix, &layer.ffn_up.matrix]);
        let work = &mut *self.work;
        let x = match &layer.attn_sub_norm {
            Some(_) => &work.normed[..attended],
            None => &work.attended[..attended],
        };
        let product = Product::whole(&layer.attn_output, &mut work.projected);
        let (dispatch, stream) = (&mut work.dispatch, &mut work.x[..size]);
        work.activations.multiply(self.pool, dispatch, &mut work.sums, x, [product], Some(stream));
        self.report(names.attention, at, 0, width, |work| &work.projected[..size]);
        self.report("ffn_inp", at, 0, width, |work| &work.x[..size]);
    }

    fn feed_forward_block(&mut self, layer: &Layer, index: usize, tokens: usize) {
        let config = self.model.config();
        let (width, ff, at) = (config.embedding_length, config.feed_forward_length, Some(index));
        let (size, wide, names) = (tokens * width, tokens * ff, config.graph.names);
        let matrices = [&layer.ffn_gate.matrix, &layer.ffn_up.matrix];
        self.norm_x(layer.ffn_norm.get(), size, &matrices);
        self.report("ffn_norm", at, 0, width, |work| &work.normed[..size]);

        linear::expect(self.pool, &[&layer.ffn_down.matrix]);
        let work = &mut *self.work;
        let products = [
            Product::whole(&layer.ffn_gate, &mut work.gate),
            Product::whole(&layer.ffn_up, &mut work.up),
        ];
        let (x, dispatch) = (&work.normed[..size], &mut work.dispatch);
        work.activations.multiply(self.pool, dispatch, &mut work.sums, x, products, None);
        self.report("ffn_up", at, 0, ff, |work| &work.up[..wide]);
        self.report("ffn_gate", at, 0, ff, |work| &work.gate[..wide]);

        self.gate(layer, tokens);
        self.report(names.gated, at, 0, ff, |work| &work.gate[..wide]);
        if layer.ffn_sub_norm.is_some() {
            self.report("ffn_sub_norm", at, 0, ff, |work| &work.normed[..wide]);
        }
        match self.model.weights.layers.get(index + 1) {
            Some(next) => {
                let next = [&next.attn_q, &next.attn_k, &next.attn_v];
                linear::expect(self.pool, &next.map(|linear| &linear.matrix));
            }
            None => self.expect_head(),
        }
        let work = &mut *self.work;
        let x = match &layer.ffn_sub_norm {
            Some(_) => &work.normed[..wide],
            None => &work.gate[..wide],
        };
        let product = Product::whole(&layer.ffn_down, &mut work.projected);
        let (dispatch, stream) = (&mut work.dispatch, &mut work.x[..size]);
        work.activations.multiply(self.pool, dispatch, &mut work.sums, x, [product], Some(stream));
        self.report(names.feed_forward, at, 0, width, |work| &work.projected[..size]);
        self.report("l_out", at, 0, width, |work| &work.x[..size]);
    }

    /// The gated product in place of the gate, normed where the architecture does, ready for the down projection.
    fn gate(&mut self, layer: &Layer, tokens: usize) {
        let (config, work) = (self.model.config(), &mut *self.work);
        let (ff, eps) = (config.feed_forward_length, config.rms_epsilon);
        let wide = tokens * ff;
        let rows = work.activations.rows_for(&mut work.dispatch, &[&layer.ffn_down.matrix], tokens);
        let activate = match config.graph.activation {
            Activation::ReluSquared => work.dispatch.relu_squared_gate(),
            Activation::Silu => work.dispatch.silu_gate(),
        };
        let norm =
            layer.ffn_sub_norm.as_ref().map(|weights| (weights.get(), work.dispatch.rms_norm()));
        let (gate, up) = (Chunks::new(&mut work.gate[..wide], ff), &work.up[..wide]);
        let parts = ((gate, Chunks::new(&mut work.normed[..wide], ff)), rows);
        self.pool.for_each(parts, |_, token, ((gate, normed), row)| {
            activate(gate, &up[token * ff..][..ff]);
            match norm {
                Some((weights, rms_norm)) => {
                    rms_norm(gate, weights, eps, normed);
                    row.fill(normed);
                }
                None => row.fill(gate),
            }
        });
    }

    /// Says that the head is what comes next.
    fn expect_head(&mut self) {
        match &self.top {
            Some(top) => top.screen.expect(self.pool),
            None => linear::expect(self.pool, &[self.model.head()]),
        }
    }

    /// Output norm and head of the first `rows` rows.
    fn head(&mut self, rows: usize, logits: &mut [f32]) {
        let model = self.model;
        let width = model.config().embedding_length;
        let vocab_size = model.config().vocab_size;
        let matrix = model.head();
        self.norm_x(model.weights.output_norm.get(), rows * width, &[matrix]);
        self.report("result_norm", None, 0, width, |work| &work.normed[..rows * width]);
        if let Some(first) = model.weights.layers.first() {
            let first = [&first.attn_q, &first.attn_k, &first.attn_v];
            linear::expect(self.pool, &first.map(|linear| &linear.matrix));
        }
        let (work, pool) = (&mut *self.work, &mut *self.pool);
        let x = &work.normed[..rows * width];
        if let Some(Top { count, screen, work: screening }) = &mut self.top {
            let (dispatch, activations) = (&mut work.dispatch, &work.activations);
            activations.values(x, matrix, &mut screening.values);
            let exact = |pool: &mut _, dispatch: &mut _, rows: &[u32], logits: &mut [f32]| {
                activations.multiply_rows(pool, dispatch, x, matrix, rows, logits);
            };
            if screen.largest(pool, dispatch, screening, *count, exact) {
                return screening.write(logits);
            }
        }
        let product = Product::of(matrix, logits);
        work.activations.multiply(pool, &mut work.dispatch, &mut work.sums, x, [product], None);
        if let Some(tap) = &mut self.tap {
            let values = &logits[..rows * vocab_size];
            let (name, columns) = ("result_output", vocab_size);
            tap.tensor(Tensor { name, layer: None, occurrence: 0, columns, values });
        }
    }

    /// Norms the first `size` values of the residual stream into `normed`, ready for `matrices`.
    fn norm_x(&mut self, weight: &[f32], size: usize, matrices: &[&Matrix]) {
        let work = &mut *self.work;
        let tokens = size / weight.len();
        let rows = work.activations.rows_for(&mut work.dispatch, matrices, tokens);
        let (dispatch, out) = (&mut work.dispatch, &mut work.normed[..size]);
        norm(self.pool, dispatch, self.model, weight, &work.x, out, rows);
    }

    fn report(
        &mut self,
        name: &'static str,
        layer: Option<usize>,
        occurrence: usize,
        columns: usize,
        values: impl FnOnce(&Workspace) -> &[f32],
    ) {
        if let Some(tap) = &mut self.tap {
            tap.tensor(Tensor { name, layer, occurrence, columns, values: values(self.work) });
        }
    }
}

/// RMS norm times `weight` of each row of `out`, whose input is the same row of `x`, in every form of `rows`.
fn norm(
    pool: &mut ThreadPool,
    dispatch: &mut Dispatch,
    model: &Model,
    weight: &[f32],
    x: &[f32],
    out: &mut [f32],
    rows: FormRows<'_>,
) {
    let (width, eps, rms_norm) = (weight.len(), model.config().rms_epsilon, dispatch.rms_norm());
    pool.for_each((Chunks::new(out, width), rows), |_, token, (out, row)| {
        rms_norm(&x[token * width..][..width], weight, eps, out);
        row.fill(out);
    });
}

/// Adds a linear layer's bias, where it has one, to each row of `out`.
fn add_bias(pool: &mut ThreadPool, dispatch: &mut Dispatch, linear: &Linear, out: &mut [f32]) {
    let Some(bias) = &linear.bias else { return };
    let (bias, add) = (bias.get(), dispatch.add());
    pool.for_each(Chunks::new(out, bias.len()), |_, _, row| add(row, bias));
}
