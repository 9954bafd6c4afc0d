"""The quiz of each notebook, and the answers to its predictions: ``NN.json`` holds both."""

from eacbook.book.quiz.questions import Question, prediction, quiz, read_questions

__all__ = ["Question", "prediction", "quiz", "read_questions"]
